//! Values of any shape as JSON: a strategy's config has no schema here, because only the strategy knows its keys.

use serde_json::{Map, Number, Value};

use super::node::{Key, Meaning, Node, NodeKind};
use super::problem::Place;
use super::read::Reader;

impl Reader<'_> {
    /// A value as JSON, its texts interpolated.
    pub fn json(&mut self, node: &Node, at: &Place) -> Value {
        match &node.kind {
            NodeKind::List(items) => {
                let items = items.iter().enumerate();
                Value::Array(items.map(|(i, item)| self.json(item, &at.item(i, item.line))).collect())
            }
            NodeKind::Map(entries) => {
                let entries = entries.iter();
                let json =
                    |(key, node): &(Key, Node)| (key.text.clone(), self.json(node, &at.key(&key.text, key.line)));
                Value::Object(entries.map(json).collect::<Map<_, _>>())
            }
            NodeKind::Scalar(scalar) => match scalar.meaning() {
                Meaning::Null => Value::Null,
                Meaning::Bool(value) => Value::Bool(value),
                Meaning::Text => self.interpolated(scalar, at).map_or(Value::Null, |text| Value::String(text.text)),
                Meaning::Number => {
                    let text = scalar.text.trim_start_matches('+');
                    let integer =
                        text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from));
                    match integer.ok().or_else(|| text.parse().ok().and_then(Number::from_f64)) {
                        Some(number) => Value::Number(number),
                        None => {
                            let help = Some("if it is a text, put it in quotes".to_owned());
                            self.not(at, "a decimal number", &scalar.text, help);
                            Value::Null
                        }
                    }
                }
            },
        }
    }
}
