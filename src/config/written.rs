//! Values that are written as a string and have a type of their own.

/// Lets a type that is read from a string, and shown by [`std::fmt::Display`], be
/// written back and described in the JSON Schema with the example.
macro_rules! written_as_string {
    ($type:ty, $name:literal, $description:literal, $example:literal) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "description": $description,
                    "examples": [$example],
                })
            }
        }
    };
}

pub(super) use written_as_string;
