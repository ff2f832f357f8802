//! The messages and methods of the API as tables, made once from the descriptors that `quorate-proto` carries.

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use std::collections::HashMap;

/// Descriptors that the gateway cannot be driven by: a defect of the build, never of a client.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Not a descriptor set.
    #[error("the message descriptors cannot be read: {0}")]
    Encoding(#[from] prost::DecodeError),
    /// A field of a kind that the API has never had.
    #[error("field {0} is of a kind that the gateway does not know")]
    Kind(String),
    /// A name that no descriptor has.
    #[error("{0} is not among the descriptors")]
    Unknown(String),
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `bool`.
    Bool,
    /// `int32`.
    Int32,
    /// `int64`.
    Int64,
    /// `uint32`.
    Uint32,
    /// `uint64`.
    Uint64,
    /// `string`.
    String,
    /// `bytes`.
    Bytes,
    /// An enum, by its place in the schema.
    Enum(usize),
    /// A message, by its place in the schema.
    Message(usize),
}

impl Kind {
    /// The name in error texts, as Go prints it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Bool => "bool",
            Kind::Int32 => "int32",
            Kind::Int64 => "int64",
            Kind::Uint32 => "uint32",
            Kind::Uint64 => "uint64",
            Kind::String => "string",
            Kind::Bytes => "bytes",
            Kind::Enum(_) => "enum",
            Kind::Message(_) => "message",
        }
    }
}

/// One field of a message.
#[derive(Debug)]
pub struct Field {
    /// Number on the wire.
    pub number: u32,
    /// Name in the `.proto` file, which answers use.
    pub name: String,
    /// Name in camel case, which requests may use.
    pub json_name: String,
    /// What it holds.
    pub kind: Kind,
    /// Whether it is repeated.
    pub is_list: bool,
    /// The oneof it belongs to: place in the message and full name.
    pub oneof: Option<(usize, String)>,
}

/// One message; fields in the order of their numbers.
#[derive(Debug, Default)]
pub struct MessageShape {
    /// Its fields.
    pub fields: Vec<Field>,
    by_name: HashMap<String, usize>,
}

impl MessageShape {
    /// Place of the field of this name, in either spelling.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }
}

/// One enum: names and numbers, in the order of declaration.
#[derive(Debug, Default)]
pub struct EnumShape {
    /// Its values.
    pub values: Vec<(String, i32)>,
}

/// One method.
#[derive(Clone, Copy, Debug)]
pub struct MethodShape {
    /// The request, by its place in the schema.
    pub input: usize,
    /// The answer, by its place in the schema.
    pub output: usize,
    /// Whether the client may send several requests.
    pub is_client_stream: bool,
    /// Whether there may be several answers.
    pub is_server_stream: bool,
}

/// All messages and methods.
#[derive(Debug, Default)]
pub struct Schema {
    messages: Vec<MessageShape>,
    enums: Vec<EnumShape>,
    methods: HashMap<String, MethodShape>,
}

/// Full names to places, while the schema is made.
#[derive(Default)]
struct Names<'a> {
    messages: Vec<(String, &'a DescriptorProto)>,
    enums: Vec<(String, &'a EnumDescriptorProto)>,
}

impl<'a> Names<'a> {
    fn add(&mut self, scope: &str, message: &'a DescriptorProto) {
        let name = format!("{scope}.{}", message.name());
        self.enums.extend(message.enum_type.iter().map(|e| (format!("{name}.{}", e.name()), e)));
        for nested in &message.nested_type {
            self.add(&name, nested);
        }
        self.messages.push((name, message));
    }

    fn message(&self, name: &str) -> Result<usize, SchemaError> {
        let found = self.messages.iter().position(|(known, _)| known == name);
        found.ok_or_else(|| SchemaError::Unknown(name.to_owned()))
    }

    fn kind(&self, field: &FieldDescriptorProto) -> Result<Kind, SchemaError> {
        Ok(match field.r#type() {
            Type::Bool => Kind::Bool,
            Type::Int32 => Kind::Int32,
            Type::Int64 => Kind::Int64,
            Type::Uint32 => Kind::Uint32,
            Type::Uint64 => Kind::Uint64,
            Type::String => Kind::String,
            Type::Bytes => Kind::Bytes,
            Type::Message => Kind::Message(self.message(field.type_name())?),
            Type::Enum => {
                let found = self.enums.iter().position(|(known, _)| known == field.type_name());
                let unknown = || SchemaError::Unknown(field.type_name().to_owned());
                Kind::Enum(found.ok_or_else(unknown)?)
            }
            _ => return Err(SchemaError::Kind(field.name().to_owned())),
        })
    }

    fn shape(&self, name: &str, message: &DescriptorProto) -> Result<MessageShape, SchemaError> {
        let mut shape = MessageShape::default();
        for field in &message.field {
            let oneof = field.oneof_index.and_then(|index| {
                let index = usize::try_from(index).ok()?;
                let oneof = message.oneof_decl.get(index)?.name();
                Some((index, format!("{}.{oneof}", name.trim_start_matches('.'))))
            });
            shape.fields.push(Field {
                number: field.number().unsigned_abs(),
                name: field.name().to_owned(),
                json_name: field.json_name().to_owned(),
                kind: self.kind(field)?,
                is_list: field.label() == Label::Repeated,
                oneof,
            });
        }
        shape.fields.sort_by_key(|field| field.number);
        for (at, field) in shape.fields.iter().enumerate() {
            shape.by_name.insert(field.name.clone(), at);
            shape.by_name.insert(field.json_name.clone(), at);
        }
        Ok(shape)
    }
}

impl Schema {
    /// The schema of the packages that clients speak.
    ///
    /// # Errors
    /// The descriptors are not what the gateway was written for.
    pub fn from_descriptors(encoded: &[u8]) -> Result<Schema, SchemaError> {
        // What members say to each other and write to disk is no business of the gateway.
        const INTERNAL: [&str; 6] =
            ["raftpb", "walpb", "snappb", "leasepb", "quoratepb", "membershippb"];
        let set = FileDescriptorSet::decode(encoded)?;
        let mut names = Names::default();
        for file in &set.file {
            let scope = format!(".{}", file.package());
            names.enums.extend(file.enum_type.iter().map(|e| (format!("{scope}.{}", e.name()), e)));
            for message in &file.message_type {
                names.add(&scope, message);
            }
        }
        let is_internal = |name: &str| INTERNAL.contains(&name.split('.').nth(1).unwrap_or(""));
        let mut schema = Schema::default();
        for (name, message) in &names.messages {
            let shape = if is_internal(name) {
                MessageShape::default()
            } else {
                names.shape(name, message)?
            };
            schema.messages.push(shape);
        }
        for (_, shape) in &names.enums {
            let value =
                |v: &prost_types::EnumValueDescriptorProto| (v.name().to_owned(), v.number());
            schema.enums.push(EnumShape { values: shape.value.iter().map(value).collect() });
        }
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    let shape = MethodShape {
                        input: names.message(method.input_type())?,
                        output: names.message(method.output_type())?,
                        is_client_stream: method.client_streaming(),
                        is_server_stream: method.server_streaming(),
                    };
                    schema.methods.insert(path, shape);
                }
            }
        }
        Ok(schema)
    }

    /// A method by its gRPC path.
    pub fn method(&self, path: &str) -> Option<MethodShape> {
        self.methods.get(path).copied()
    }

    /// A message by its place.
    pub fn message(&self, at: usize) -> &MessageShape {
        &self.messages[at]
    }

    /// An enum by its place.
    pub fn enumeration(&self, at: usize) -> &EnumShape {
        &self.enums[at]
    }
}
