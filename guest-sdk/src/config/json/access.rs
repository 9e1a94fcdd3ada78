//! The members of lists and objects, handed out one by one, each with its place added to the errors in it.

use std::borrow::Cow;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::{Error, Reader, visit_number, visit_text};

/// The rest of a list or an object, after its bracket.
pub struct Items<'r, 'de> {
    reader: &'r mut Reader<'de>,
    /// The bracket that ends it.
    end: &'static str,
    taken: usize,
    /// The place of the value that comes next.
    key: Cow<'de, str>,
}

impl<'r, 'de> Items<'r, 'de> {
    pub(super) fn new(reader: &'r mut Reader<'de>, end: &'static str) -> Self {
        Self { reader, end, taken: 0, key: Cow::Borrowed("") }
    }

    /// True when there is another item; the comma before it is taken, the closing bracket is not.
    fn more(&mut self) -> Result<bool, Error> {
        let at_end = |reader: &mut Reader<'de>| reader.peek().is_none_or(|byte| self.end.as_bytes() == [byte]);
        if at_end(self.reader) {
            return if self.reader.rest.is_empty() { Err(self.unfinished()) } else { Ok(false) };
        }
        if self.taken > 0 {
            if !self.reader.take(",") {
                return Err(Error::new(if self.end == "]" { "expected `,` or `]`" } else { "expected `,` or `}`" }));
            }
            if at_end(self.reader) {
                return Err(if self.reader.rest.is_empty() { self.unfinished() } else { Error::new("trailing comma") });
            }
        }
        self.taken += 1;
        Ok(true)
    }

    fn unfinished(&self) -> Error {
        Error::new(if self.end == "]" { "EOF while parsing a list" } else { "EOF while parsing an object" })
    }

    /// The next key; `None` at the end.
    pub(super) fn key(&mut self) -> Result<Option<Cow<'de, str>>, Error> {
        if !self.more()? {
            return Ok(None);
        }
        match self.reader.peek() {
            Some(b'"') => self.reader.string().map(Some),
            _ => Err(Error::new("key must be a string")),
        }
    }

    /// The reader, before the value that belongs to the key just taken.
    pub(super) fn value(&mut self) -> Result<&mut Reader<'de>, Error> {
        if self.reader.take(":") { Ok(self.reader) } else { Err(Error::new("expected `:`")) }
    }
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if !self.more()? {
            return Ok(None);
        }
        let index = self.taken - 1;
        seed.deserialize(&mut *self.reader).map(Some).map_err(|error| error.inside(&format!("[{index}]")))
    }
}

impl<'de> MapAccess<'de> for Items<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(key) = self.key()? else { return Ok(None) };
        self.key = key;
        seed.deserialize(Key(self.key.clone())).map(Some).map_err(|error| error.under(&self.key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let value = seed.deserialize(self.value()?);
        value.map_err(|error| error.under(&self.key))
    }
}

/// A key is a text even if its type is a number or a boolean.
struct Key<'de>(Cow<'de, str>);

macro_rules! numeric_keys {
    ($($deserialize:ident)*) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let mut reader = Reader::new(&self.0);
            match reader.number() {
                Ok(number) if reader.rest.is_empty() => visit_number(number, visitor),
                _ => Err(Error::new("invalid value: expected key to be a number in quotes")),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = Error;

    numeric_keys! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visit_text(self.0, visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &*self.0 {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            other => Err(Error::invalid_type(Unexpected::Str(other), &visitor)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// A variant of an enum: a name alone, or the key of its content.
pub struct Variant<'r, 'de> {
    pub(super) name: Cow<'de, str>,
    pub(super) content: Option<&'r mut Reader<'de>>,
}

impl<'de> Variant<'_, 'de> {
    fn with<T>(self, expected: &str, read: impl FnOnce(&mut Reader<'de>) -> Result<T, Error>) -> Result<T, Error> {
        let value = match self.content {
            Some(content) => read(content),
            None => Err(Error::invalid_type(Unexpected::UnitVariant, &expected)),
        };
        value.map_err(|error| error.under(&self.name))
    }
}

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        Ok((seed.deserialize(Key(self.name.clone()))?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        if self.content.is_none() { Ok(()) } else { self.with("unit variant", |content| <()>::deserialize(content)) }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        self.with("newtype variant", |content| seed.deserialize(content))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.with("tuple variant", |content| content.deserialize_seq(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.with("struct variant", |content| content.deserialize_struct("", &[], visitor))
    }
}
