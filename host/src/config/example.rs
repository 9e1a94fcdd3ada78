//! Examples of correct values, for the help text of problems.

/// A minimal configuration.
pub(super) const MINIMAL: &str = "a minimal configuration:\n\
    providers:\n  - name: openai\n    base_url: https://api.openai.com/v1\n    api_key: ${OPENAI_API_KEY}";

/// An example of a mapping under `path`; `None` where the list of its keys is help enough.
pub(super) fn mapping(path: &str) -> Option<String> {
    let key = path.rsplit('.').next().unwrap_or_default();
    let example = match key {
        "" => return Some(MINIMAL.to_owned()),
        "telemetry" => "telemetry:\n  otlp: {endpoint: http://localhost:4318}",
        "attributes" if path.starts_with("telemetry") => "attributes: {deployment.environment.name: production}",
        "routing" => "routing:\n  strategy: weighted",
        "health_check" => "health_check:\n  interval: 30",
        "affinity" => "affinity:\n  header: x-session-id",
        "strategies" => "strategies:\n  mine:\n    path: strategies/mine.wasm",
        "timeouts" => "timeouts:\n  request: 30\n  connect: 5",
        "queue" => "queue:\n  max_concurrent: 100",
        "monitoring" => "monitoring:\n  log_level: INFO",
        "server" => "server:\n  port: 8000",
        "model_map" => "model_map:\n  gpt-4: gpt-4-turbo",
        "labels" => "labels:\n  region: eu",
        "headers" => "headers:\n  x-title: Pointsman",
        "tls" => "tls:\n  cert: cert.pem\n  key: key.pem",
        "network" => "network:\n  proxy: env",
        "fallbacks" => "fallbacks:\n  on_failure: [claude-sonnet-4-5]",
        "hedge" => "hedge:\n  after: p95",
        "limits" => "limits: {rpm: 600, tpm: 200000, parallel: 20}",
        "budget" => "budget: {usd: 50, per: day}",
        "attributes" => "attributes:\n  tenant: {header: x-tenant}",
        "clients" => "clients:\n  keys:\n    - {name: search, key: '${SEARCH_KEY}'}",
        "admin" => "admin:\n  port: 9090",
        key if key.starts_with("providers[") => {
            "- name: openai\n  base_url: https://api.openai.com/v1\n  api_key: ${OPENAI_API_KEY}"
        }
        key if key.starts_with("routes[") => "- models: [gpt-4o]\n  targets: [openai, azure]",
        key if key.starts_with("keys[") => "- {name: search, key: '${SEARCH_KEY}'}",
        key if key.starts_with("targets[") => "- {provider: azure, model: gpt4o-deploy, weight: 2}",
        _ => return None,
    };
    Some(format!("such as\n{example}"))
}

/// An example of a list under `key`.
pub(super) fn list(key: &str) -> String {
    match key {
        "providers" => MINIMAL.to_owned(),
        "routes" => "routes:\n  - models: [gpt-4o]\n    targets: [openai, azure]".to_owned(),
        "targets" => "targets: [openai, {provider: azure, model: gpt4o-deploy}], or one `- ` per element".to_owned(),
        "grants" => "grants: [prompt]".to_owned(),
        "models" => "models: [gpt-4o, \"gpt-4o-*\"], or one `- ` per element".to_owned(),
        _ => format!("{key}: [...], or one `- ` per element"),
    }
}

/// The text to write in place of a number with a unit, such as `30s` or `32MB`; `wanted` says what the number counts.
pub(super) fn without_unit(text: &str, wanted: &str) -> Option<String> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_' || c == ',')).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end)?;
    let number: f64 = digits.replace(['_', ','], "").parse().ok()?;
    let (factor, what) = if wanted.contains("seconds") {
        (in_seconds(unit.trim())?, "durations are seconds")
    } else if wanted.contains("bytes") {
        (in_bytes(unit.trim())?, "sizes are bytes")
    } else {
        (unit.trim().is_empty().then_some(1.0)?, "a number consists of digits only")
    };
    // Rounded to the microsecond, and without trailing zeros.
    Some(format!("write {}; {what}", (number * factor * 1e6).round() / 1e6))
}

fn in_seconds(unit: &str) -> Option<f64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "ms" | "msec" | "millis" | "milliseconds" => 0.001,
        "" | "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hour" | "hours" => 3600.0,
        "d" | "day" | "days" => 86_400.0,
        _ => return None,
    })
}

fn in_bytes(unit: &str) -> Option<f64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "" | "b" | "byte" | "bytes" => 1.0,
        "k" | "kb" | "kib" => 1024.0,
        "m" | "mb" | "mib" => 1_048_576.0,
        "g" | "gb" | "gib" => 1_073_741_824.0,
        "t" | "tb" | "tib" => 1_099_511_627_776.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_answered_with_the_number_to_write() {
        let seconds = |text| without_unit(text, "a number of seconds above 0").unwrap_or_default();
        assert!(seconds("30s").starts_with("write 30;"), "{}", seconds("30s"));
        assert!(seconds("1m").starts_with("write 60;"));
        assert!(seconds("1.5 min").starts_with("write 90;"));
        assert!(seconds("250ms").starts_with("write 0.25;"));
        assert_eq!(seconds("soon"), "");
        let bytes = |text| without_unit(text, "a positive number of bytes").unwrap_or_default();
        assert!(bytes("32MB").starts_with("write 33554432;"), "{}", bytes("32MB"));
        assert!(bytes("1_048_576").starts_with("write 1048576;"));
        assert_eq!(bytes("32 parsecs"), "");
        assert_eq!(
            without_unit("1,000", "a positive integer").as_deref(),
            Some("write 1000; a number consists of digits only")
        );
        assert_eq!(without_unit("5s", "a positive number"), None);
    }
}
