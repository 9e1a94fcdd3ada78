//! JSON objects whose members stay as they were written: what is not changed arrives byte for byte.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap as _, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

/// A JSON object in the order of its members. Clones share the values.
#[derive(Clone, Debug, Default)]
pub struct Object(Vec<(String, Arc<RawValue>)>);

impl Object {
    /// The object that a text holds; `None` if it holds something else.
    pub fn of(raw: &RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok()
    }

    /// The members, in their order.
    pub fn members(&self) -> impl Iterator<Item = (&str, &Arc<RawValue>)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The value of a key, as it was written.
    pub fn raw(&self, key: &str) -> Option<&RawValue> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| &**value)
    }

    /// The value of a key, read; `None` if it is absent, null, or of another kind.
    pub fn get<'a, T: Deserialize<'a>>(&'a self, key: &str) -> Option<T> {
        serde_json::from_str::<Option<T>>(self.raw(key)?.get()).ok()?
    }

    /// True if the key is there and not null.
    pub fn has(&self, key: &str) -> bool {
        self.raw(key).is_some_and(|value| value.get() != "null")
    }

    /// Takes a member out.
    pub fn remove(&mut self, key: &str) -> Option<Arc<RawValue>> {
        let place = self.0.iter().position(|(known, _)| known == key)?;
        Some(self.0.remove(place).1)
    }

    /// Keeps the members whose keys `stays` accepts.
    pub fn retain(&mut self, mut stays: impl FnMut(&str) -> bool) {
        self.0.retain(|(key, _)| stays(key));
    }

    /// Puts a value in the place of a member, or behind all others.
    pub fn set(&mut self, key: &str, value: impl Into<Arc<RawValue>>) {
        let value = value.into();
        match self.0.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    /// As [`Object::set`], with a value that is written now.
    pub fn put(&mut self, key: &str, value: &(impl Serialize + ?Sized)) {
        self.set(key, raw(value));
    }

    /// True if there is no member.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text of the object.
    pub fn to_raw(&self) -> Box<RawValue> {
        raw(self)
    }
}

/// A value as text. What cannot be written, which no value here is, becomes null.
pub fn raw(value: &(impl Serialize + ?Sized)) -> Box<RawValue> {
    to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut members = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    members.push((key, Arc::from(value)));
                }
                Ok(Object(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, &**value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_changed_stays_as_it_was_written() {
        let mut object: Object = serde_json::from_str(r#"{"b" : 1.50, "a":[ 1,2], "é":1e400}"#).expect("an object");
        object.put("a", "x");
        object.put("n", &3);
        assert_eq!(object.to_raw().get(), r#"{"b":1.50,"a":"x","é":1e400,"n":3}"#);
        assert_eq!(
            (object.get::<f64>("b"), object.get::<&str>("a"), object.get::<u32>("a")),
            (Some(1.5), Some("x"), None)
        );
        assert!(object.remove("b").is_some() && object.remove("b").is_none());
    }
}
