//! Takes what is to be an object from an object alone.
//!
//! What serde derives for a struct also takes an array, for the fields in their order: `[500, "GBP"]` would be a price.
//! [`Objects`] stands around the source of a document, goes along to whatever is read out of it, and refuses that.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};

/// A source of a document, or whatever takes a part in reading it, where an array is no object.
pub(super) struct Objects<T>(pub(super) T);

/// Whoever waits for the fields of a struct.
struct Fields<V>(V);

/// Hands on, with all that comes out of it, what may hold a struct, and the rest as it is.
macro_rules! ask {
    (scalars: $($scalar:ident)*) => {$(
        fn $scalar<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            self.0.$scalar(visitor)
        }
    )*};
    (others: $($other:ident($($name:ident: $of:ty),*))*) => {$(
        fn $other<V: Visitor<'de>>(self, $($name: $of,)* visitor: V) -> Result<V::Value, Self::Error> {
            self.0.$other($($name,)* Objects(visitor))
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Objects<D> {
    type Error = D::Error;

    ask! { scalars:
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 deserialize_u8
        deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char
        deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf deserialize_unit
        deserialize_identifier deserialize_ignored_any
    }

    ask! { others:
        deserialize_any()
        deserialize_option()
        deserialize_unit_struct(name: &'static str)
        deserialize_newtype_struct(name: &'static str)
        deserialize_seq()
        deserialize_tuple(length: usize)
        deserialize_tuple_struct(name: &'static str, length: usize)
        deserialize_map()
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_struct(name, fields, Fields(visitor))
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Fields<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Objects(fields))
    }
}

/// Hands on a value of JSON.
macro_rules! take {
    ($($visit:ident: $of:ty),*) => {$(
        fn $visit<E: Error>(self, value: $of) -> Result<V::Value, E> {
            self.0.$visit(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Objects<V> {
    type Value = V::Value;

    take! { visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str, visit_borrowed_str: &'de str, visit_string: String }

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Objects(value))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Objects(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Objects(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Objects(fields))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(Objects(variant))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Objects<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Objects(deserializer))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Objects(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Objects(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Objects<A> {
    type Error = A::Error;
    type Variant = Objects<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        self.0.variant_seed(seed).map(|(name, variant)| (name, Objects(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.0.newtype_variant_seed(Objects(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(length, Objects(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.struct_variant(fields, Fields(visitor))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::{Value, json};

    use crate::Problem;
    use crate::json::read;

    fn shape(text: &[u8]) -> Result<Nested, Problem> {
        let (document, faults) = read(text)?;
        faults.finish(|| Some(document))
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Nested {
        item: Option<Item>,
        items: Vec<Item>,
        named: BTreeMap<String, (u8, Wrapped)>,
        either: Option<Either>,
        free: Value,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Item {
        d: Value,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Wrapped(Item);

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Either {
        One(Item),
        Two { d: u8 },
        Three(u8, Item),
    }

    #[test]
    fn an_array_is_taken_for_no_object_at_any_depth() {
        for (text, pointer) in [
            (r#"[{"d":1}]"#, ""),
            (r#"{"item":[1]}"#, "/item"),
            (r#"{"item":[]}"#, "/item"),
            (r#"{"items":[{"d":1},[1]]}"#, "/items/1"),
            (r#"{"named":{"a":[1,[1]]}}"#, "/named/a/1"),
            (r#"{"either":{"one":[1]}}"#, "/either/one"),
            (r#"{"either":{"two":[1]}}"#, "/either/two"),
            (r#"{"either":{"three":[1,[1]]}}"#, "/either/three/1"),
        ] {
            let problem = shape(text.as_bytes()).expect_err(text);
            let said = (problem.errors()[0].pointer.as_str(), problem.errors()[0].detail.as_str());
            assert_eq!(said, (pointer, "expected an object"), "{text}");
        }
    }

    #[test]
    fn whatever_else_json_can_say_is_read_as_ever() {
        let item = |d| Item { d };
        let either = |either| Nested { either: Some(either), ..Nested::default() };
        let free = json!([[1, null, true], {"a": [-1, 1.5, "b\n", {}]}]);
        for (text, expected) in [
            (json!({"item": {"d": [1]}}), Nested { item: Some(item(json!([1]))), ..Nested::default() }),
            (json!({"item": null}), Nested::default()),
            (
                json!({"items": [{"d": 1}, {}]}),
                Nested { items: vec![item(json!(1)), Item::default()], ..Nested::default() },
            ),
            (
                json!({"named": {"a": [7, {}]}}),
                Nested { named: [("a".to_owned(), (7, Wrapped(Item::default())))].into(), ..Nested::default() },
            ),
            (json!({"either": {"one": {"d": "x"}}}), either(Either::One(item(json!("x"))))),
            (json!({"either": {"two": {"d": 1}}}), either(Either::Two { d: 1 })),
            (json!({"either": {"three": [1, {}]}}), either(Either::Three(1, Item::default()))),
            (json!({"free": free}), Nested { free: free.clone(), ..Nested::default() }),
        ] {
            assert_eq!(shape(text.to_string().as_bytes()).expect("each has its shape"), expected, "{text}");
        }
    }
}
