//! The description of the operators' paths in OpenAPI 3.1. Each part stands in a file of its own beside the code that answers.

use std::sync::LazyLock;

use serde_json::Value;

/// The description of these paths in OpenAPI 3.1, put together from its parts.
pub static OPENAPI: LazyLock<String> = LazyLock::new(|| {
    let parts = [
        include_str!("openapi/operators.json"),
        include_str!("openapi/spend.json"),
        include_str!("openapi/stories.json"),
        include_str!("openapi/report.json"),
        include_str!("openapi/events.json"),
        include_str!("openapi/dashboard.json"),
        include_str!("openapi/replicas.json"),
    ];
    let mut parts = parts.iter().map(|part| serde_json::from_str::<Value>(part).unwrap_or_default());
    let mut document = parts.next().unwrap_or_default();
    for mut part in parts {
        for place in ["/paths", "/components/schemas"] {
            let more = part.pointer_mut(place).and_then(Value::as_object_mut).map(std::mem::take);
            if let Some(known) = document.pointer_mut(place).and_then(Value::as_object_mut) {
                known.extend(more.unwrap_or_default());
            }
        }
    }
    document.to_string()
});
