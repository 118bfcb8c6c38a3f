//! Asks a type which fields it reads, without a value to read.
//!
//! A derived `Deserialize` names its fields to the deserializer before it reads anything, and asks for an option where
//! nothing may stand. That is enough to say at load what would be missing at run time.

use std::cell::Cell;

use serde::de::value::{Error, StrDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, Visitor,
};
use serde::forward_to_deserialize_any;

/// Returns the fields of a struct that are not options; none for any other type, a map above all.
pub(super) fn required_fields<T: DeserializeOwned>() -> Vec<&'static str> {
    let fields = Cell::new(&[][..]);
    // It always fails: there is nothing to read.
    let _ = T::deserialize(Names(&fields));
    fields
        .get()
        .iter()
        .copied()
        .filter(|field| !is_optional::<T>(field))
        .collect()
}

fn is_optional<T: DeserializeOwned>(field: &'static str) -> bool {
    let optional = Cell::new(false);
    let _ = T::deserialize(OneField {
        field: Some(field),
        optional: &optional,
    });
    optional.get()
}

fn nothing<T>() -> Result<T, Error> {
    Err(Error::custom("there is nothing to read"))
}

/// Learns the names of the fields.
struct Names<'a>(&'a Cell<&'static [&'static str]>);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        nothing()
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        self.0.set(fields);
        nothing()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq
        tuple tuple_struct map enum identifier ignored_any
    }
}

/// Offers one field, and learns whether an option is asked for as its value.
struct OneField<'a> {
    field: Option<&'static str>,
    optional: &'a Cell<bool>,
}

impl<'de> Deserializer<'de> for OneField<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq
        tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for OneField<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(field) = self.field.take() else {
            return Ok(None);
        };
        let field: StrDeserializer<'_, Error> = field.into_deserializer();
        seed.deserialize(field).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(Asked(self.optional))
    }
}

/// Learns whether an option is asked for.
struct Asked<'a>(&'a Cell<bool>);

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        nothing()
    }

    fn deserialize_option<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        self.0.set(true);
        nothing()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
#[expect(dead_code, reason = "the fields are asked for, never read")]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::Value;

    use super::*;

    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Plain {
        fetch_rate: f64,
        #[serde(rename = "load")]
        loaded: Value,
        maybe: Option<String>,
        nested: Wrapped,
    }

    #[derive(Deserialize)]
    struct Wrapped(Vec<String>);

    #[derive(Deserialize)]
    struct Outer(Plain);

    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Through {
        inner: Plain,
    }

    #[test]
    fn fields_are_those_that_must_be_there() {
        assert_eq!(required_fields::<Plain>(), ["fetch-rate", "load", "nested"]);
        assert_eq!(required_fields::<Outer>(), ["fetch-rate", "load", "nested"]);
        assert_eq!(required_fields::<Through>(), ["fetch-rate", "load", "nested"]);
    }

    #[test]
    fn what_is_no_struct_requires_nothing() {
        assert!(required_fields::<BTreeMap<String, Value>>().is_empty());
        assert!(required_fields::<Value>().is_empty());
        assert!(required_fields::<()>().is_empty());
        assert!(required_fields::<Option<Plain>>().is_empty());
    }
}
