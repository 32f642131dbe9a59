//! A document as JSON. Values stand as they are; what JSON does not know is an object with one key that begins with `$`,
//! so that two different contents never look the same.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use yrs::Any;
use yrs::types::Attrs;

use super::content::{Content, Node, Root, Sequence, Span};

/// The top-level values by name.
pub(super) fn document(content: &Content) -> Value {
    content.0.iter().map(|(name, root)| (name.clone(), top_level(root))).collect::<Map<_, _>>().into()
}

fn top_level(root: &Root) -> Value {
    let (kind, sequence) = match &root.sequence {
        Sequence::Nothing => return json!({ "map": entries(&root.entries) }),
        Sequence::Text(spans) => ("text", delta(spans)),
        Sequence::Xml(children) => ("xml", list(children)),
        Sequence::Array(items) => ("array", list(items)),
    };
    if root.entries.is_empty() {
        json!({ kind: sequence })
    } else {
        json!({ kind: sequence, "map": entries(&root.entries) })
    }
}

/// One value.
pub(super) fn node(node: &Node) -> Value {
    match node {
        Node::Value(value) => any(value),
        Node::Text(spans) => json!({ "$text": delta(spans) }),
        Node::Array(items) => list(items),
        Node::Map(map) => json!({ "$map": entries(map) }),
        Node::Element { tag, attributes, children } => {
            json!({ "$element": tag.as_ref(), "attributes": entries(attributes), "children": list(children) })
        }
        Node::Fragment(children) => json!({ "$fragment": list(children) }),
        Node::XmlText { attributes, spans } if attributes.is_empty() => json!({ "$xmltext": delta(spans) }),
        Node::XmlText { attributes, spans } => {
            json!({ "$xmltext": delta(spans), "attributes": entries(attributes) })
        }
        Node::Subdocument(id) => json!({ "$document": id.as_ref() }),
    }
}

/// A text as Quill's delta: a list of insertions.
fn delta(spans: &[Span]) -> Value {
    let span = |span: &Span| {
        let insert = node(&span.insert);
        if span.attributes.is_empty() {
            json!({ "insert": insert })
        } else {
            json!({ "insert": insert, "attributes": attributes(&span.attributes) })
        }
    };
    spans.iter().map(span).collect()
}

/// The format of a piece of text.
pub(super) fn attributes(attributes: &Attrs) -> Value {
    attributes.iter().map(|(key, value)| (key.to_string(), any(value))).collect::<Map<_, _>>().into()
}

fn entries(map: &BTreeMap<String, Node>) -> Value {
    map.iter().map(|(key, value)| (key.clone(), node(value))).collect::<Map<_, _>>().into()
}

fn list(nodes: &[Node]) -> Value {
    nodes.iter().map(node).collect()
}

fn any(value: &Any) -> Value {
    match value {
        Any::Null => Value::Null,
        Any::Undefined => json!({ "$undefined": true }),
        Any::Bool(value) => json!(value),
        Any::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => json!(integer),
            // JSON has no infinity and no NaN.
            (None, Some(float)) if float.is_finite() => json!(float),
            (None, float) => json!({ "$number": float.map(|float| float.to_string()) }),
        },
        Any::String(text) => json!(text.as_ref()),
        Any::Buffer(bytes) => json!({ "$bytes": STANDARD.encode(bytes) }),
        Any::Array(items) => items.iter().map(any).collect(),
        Any::Map(map) => map.iter().map(|(key, value)| (key.clone(), any(value))).collect::<Map<_, _>>().into(),
    }
}
