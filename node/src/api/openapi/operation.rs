//! The words an operation is described in: what the table of routes does not know.

use utoipa::{
    ToSchema,
    openapi::{
        Object, Ref, RefOr, Schema, Type,
        schema::{ArrayBuilder, ObjectBuilder, SchemaFormat},
    },
};

/// Named schemas gathered on the way.
pub(super) type Schemas = Vec<(String, RefOr<Schema>)>;

/// One method of one path, as its clients meet it.
pub(crate) struct Operation {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(crate) query: &'static [Param],
    pub(super) headers: &'static [Param],
    pub(super) body: Option<Content>,
    /// Of success.
    pub(crate) status: u16,
    pub(crate) answer: Option<Content>,
}

/// A parameter of the query string, or a header.
pub(crate) struct Param {
    pub(crate) name: &'static str,
    pub(super) kind: Kind,
    pub(super) is_needed: bool,
    pub(super) about: &'static str,
}

/// What a parameter looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// Several: comma-separated, or given again.
    Texts,
    /// Several, each given by itself.
    Repeated,
    Number,
    Flag,
    Time,
}

/// What a body holds.
pub(crate) struct Content {
    pub(crate) media: &'static str,
    pub(super) shape: Shape,
}

/// A schema, gathered with all it names.
pub(super) struct Shape(fn(&mut Schemas) -> RefOr<Schema>);

impl Shape {
    pub(super) fn gather(&self, schemas: &mut Schemas) -> RefOr<Schema> {
        (self.0)(schemas)
    }
}

fn named<T: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    T::schemas(schemas);
    schemas.push((T::name().into_owned(), T::schema()));
    Ref::from_schema_name(T::name()).into()
}

fn text(_: &mut Schemas) -> RefOr<Schema> {
    Object::with_type(Type::String).into()
}

impl Content {
    pub(super) const fn json<T: ToSchema>() -> Self {
        Self::of::<T>("application/json")
    }

    pub(super) const fn of<T: ToSchema>(media: &'static str) -> Self {
        Self { media, shape: Shape(named::<T>) }
    }

    pub(super) const fn text(media: &'static str) -> Self {
        Self { media, shape: Shape(text) }
    }
}

impl Param {
    const fn new(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, kind, is_needed: false, about }
    }
    pub(super) const fn text(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Kind::Text, about)
    }
    pub(super) const fn texts(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Kind::Texts, about)
    }
    pub(super) const fn repeated(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Kind::Repeated, about)
    }
    pub(super) const fn number(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Kind::Number, about)
    }
    pub(super) const fn flag(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Kind::Flag, about)
    }
    pub(super) const fn time(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Kind::Time, about)
    }
    pub(super) const fn needed(self) -> Self {
        Self { is_needed: true, ..self }
    }

    pub(super) fn schema(&self) -> RefOr<Schema> {
        match self.kind {
            Kind::Text => Object::with_type(Type::String).into(),
            Kind::Texts | Kind::Repeated => {
                ArrayBuilder::new().items(Object::with_type(Type::String)).build().into()
            }
            Kind::Number => ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).build().into(),
            Kind::Flag => Object::with_type(Type::Boolean).into(),
            Kind::Time => ObjectBuilder::new()
                .schema_type(Type::String)
                .format(Some(SchemaFormat::Custom("date-time".to_owned())))
                .build()
                .into(),
        }
    }

    /// Whether several values stand in one text.
    pub(super) fn is_joined(&self) -> bool {
        self.kind == Kind::Texts
    }
}

impl Operation {
    pub(super) const fn get(path: &'static str, tag: &'static str, summary: &'static str) -> Self {
        Self::new("GET", path, tag, summary, 200)
    }
    pub(super) const fn post(path: &'static str, tag: &'static str, summary: &'static str) -> Self {
        Self::new("POST", path, tag, summary, 200)
    }
    pub(super) const fn delete(path: &'static str, tag: &'static str, summary: &'static str) -> Self {
        Self::new("DELETE", path, tag, summary, 200)
    }

    const fn new(
        method: &'static str,
        path: &'static str,
        tag: &'static str,
        summary: &'static str,
        status: u16,
    ) -> Self {
        Self { method, path, tag, summary, query: &[], headers: &[], body: None, status, answer: None }
    }

    pub(super) const fn query(self, query: &'static [Param]) -> Self {
        Self { query, ..self }
    }
    pub(super) const fn headers(self, headers: &'static [Param]) -> Self {
        Self { headers, ..self }
    }
    pub(super) const fn takes(self, body: Content) -> Self {
        Self { body: Some(body), ..self }
    }
    pub(super) const fn answers(self, status: u16, content: Content) -> Self {
        Self { status, answer: Some(content), ..self }
    }
    pub(super) const fn answers_nothing(self, status: u16) -> Self {
        Self { status, answer: None, ..self }
    }

    /// Names it for generated clients: `get-api-v1-objects-object`.
    pub(super) fn id(&self) -> String {
        let words = self.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        std::iter::once(self.method.to_ascii_lowercase())
            .chain(words.map(str::to_owned))
            .collect::<Vec<_>>()
            .join("-")
    }

    /// Names of the parts of its path that vary.
    pub(super) fn parts(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}
