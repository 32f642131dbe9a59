//! What is in a document, read without knowing the application's types.
//!
//! A Yjs update does not say of which type a top-level value is: that is up to whoever asks for it. So it is told from
//! what it holds: text and formats make a text, nothing but XML nodes an XML fragment, anything else an array; and
//! beside any of them there may be named entries, which are a map's or attributes.
//!
//! Nor does an update have to be one that Yjs made: any type may hold anything. Of the library only what ends whatever
//! it meets is used.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use editorcluster_core::document::{Document, MAX_NESTING};
use yrs::branch::{Branch, BranchPtr};
use yrs::types::Attrs;
use yrs::types::text::YChange;
use yrs::updates::decoder::Decode as _;
use yrs::{
    Any, Array as _, ArrayRef, Doc, GetString as _, Map as _, MapRef, Out, ReadTxn, TextRef, Transact as _, Update,
    XmlFragment, XmlOut,
};

use super::legible;

/// Shared types nested deeper than this are refused. The library walks them by recursion, and so does this module.
const MAX_DEPTH: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("the state is no Yjs update that can be applied")]
    Undecodable,
    #[error("the document holds what history cannot read ({0}); it can be edited and exported")]
    Illegible(legible::Refused),
    #[error("the document's shared types are nested deeper than {MAX_DEPTH}; it can be exported, but not read")]
    TooDeep,
    #[error("the document has too many texts and clients to tell whose words they are")]
    TooManyAuthors,
}

/// A document's top-level values by name. Those that are empty are left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Content(pub BTreeMap<String, Root>);

/// One top-level value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Root {
    pub entries: BTreeMap<String, Node>,
    pub sequence: Sequence,
}

/// What stands in order in a top-level value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Sequence {
    #[default]
    Nothing,
    Text(Vec<Span>),
    Xml(Vec<Node>),
    Array(Vec<Node>),
}

/// A piece of text with one format, or something embedded in it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Span {
    pub insert: Node,
    pub attributes: Attrs,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Value(Any),
    Text(Vec<Span>),
    Array(Vec<Node>),
    Map(BTreeMap<String, Node>),
    Element {
        tag: Arc<str>,
        attributes: BTreeMap<String, Node>,
        children: Vec<Node>,
    },
    Fragment(Vec<Node>),
    XmlText {
        attributes: BTreeMap<String, Node>,
        spans: Vec<Span>,
    },
    /// A document of its own, by its id. What is in it is stored elsewhere.
    Subdocument(Arc<str>),
}

/// A transient document that holds a state.
///
/// # Errors
/// The state is no update, or one that the CRDT library reads otherwise than Yjs, or its types are nested too deep.
pub(super) fn open(state: &[u8]) -> Result<Doc, Unreadable> {
    let doc = Doc::new();
    if !state.is_empty() {
        let state = collected(state)?;
        legible::check(&state).map_err(Unreadable::Illegible)?;
        let update = Update::decode_v1(&state).map_err(|_| Unreadable::Undecodable)?;
        doc.transact_mut().apply_update(update).map_err(|_| Unreadable::Undecodable)?;
    }
    Ok(doc)
}

/// A state without the content of what was deleted: where that is kept, it need not be legible.
fn collected(state: &[u8]) -> Result<Bytes, Unreadable> {
    let mut document = Document::default();
    if document.load(&Bytes::copy_from_slice(state)).is_err() {
        // This says more about what is wrong.
        return Err(legible::check(state).map_or_else(Unreadable::Illegible, |()| Unreadable::Undecodable));
    }
    // The library deletes types by recursion.
    if document.nesting() > MAX_NESTING {
        return Err(Unreadable::TooDeep);
    }
    document.encode_state().map_err(|_| Unreadable::Undecodable)
}

/// Reads all of a document.
///
/// # Errors
/// Something in it is nested too deep.
pub(super) fn read(doc: &Doc) -> Result<Content, Unreadable> {
    let names: Vec<String> = doc.transact().root_refs().map(|(name, _)| name.to_owned()).collect();
    let mut content = Content::default();
    for name in names {
        // All three are views of the same top-level value.
        let map = doc.get_or_insert_map(name.as_str());
        let text = doc.get_or_insert_text(name.as_str());
        let array = doc.get_or_insert_array(name.as_str());
        let txn = doc.transact();
        let root = Root { entries: entries(map.as_ref(), &txn, 0)?, sequence: sequence(&text, &array, &txn)? };
        if root != Root::default() {
            content.0.insert(name, root);
        }
    }
    Ok(content)
}

fn sequence<T: ReadTxn>(text: &TextRef, array: &ArrayRef, txn: &T) -> Result<Sequence, Unreadable> {
    let spans = spans(text, txn, 0)?;
    if spans.iter().any(|span| matches!(span.insert, Node::Value(_))) {
        return Ok(Sequence::Text(spans));
    }
    let items = items(array, txn, 0)?;
    let is_xml = |node: &Node| matches!(node, Node::Element { .. } | Node::XmlText { .. } | Node::Fragment(_));
    Ok(match items {
        items if items.is_empty() => Sequence::Nothing,
        items if items.iter().all(is_xml) => Sequence::Xml(items),
        items => Sequence::Array(items),
    })
}

pub(super) fn deeper(depth: usize) -> Result<usize, Unreadable> {
    if depth < MAX_DEPTH { Ok(depth + 1) } else { Err(Unreadable::TooDeep) }
}

fn node<T: ReadTxn>(out: Out, txn: &T, depth: usize) -> Result<Node, Unreadable> {
    let depth = deeper(depth)?;
    Ok(match out {
        Out::Any(value) => Node::Value(value),
        Out::YText(text) => Node::Text(spans(&text, txn, depth)?),
        Out::YArray(array) => match text_in(&array, txn) {
            Some(text) => Node::Text(spans(&text, txn, depth)?),
            None => Node::Array(items(&array, txn, depth)?),
        },
        Out::YMap(map) => Node::Map(entries(map.as_ref(), txn, depth)?),
        Out::YXmlElement(element) => Node::Element {
            tag: element.tag().clone(),
            attributes: entries(element.as_ref(), txn, depth)?,
            children: children(&element, txn, depth)?,
        },
        Out::YXmlFragment(fragment) => Node::Fragment(children(&fragment, txn, depth)?),
        Out::YXmlText(text) => {
            Node::XmlText { attributes: entries(text.as_ref(), txn, depth)?, spans: spans(&text, txn, depth)? }
        }
        Out::YDoc(doc) => Node::Subdocument(doc.guid()),
        // Only a top-level value has no type.
        Out::UndefinedRef(_) => Node::Value(Any::Undefined),
    })
}

/// A rich text, as few spans as it can be.
pub(super) fn spans<T: ReadTxn>(text: &impl yrs::Text, txn: &T, depth: usize) -> Result<Vec<Span>, Unreadable> {
    let mut spans: Vec<Span> = Vec::new();
    for diff in text.diff(txn, YChange::identity) {
        let attributes = diff.attributes.map(|attributes| *attributes).unwrap_or_default();
        let insert = node(diff.insert, txn, depth)?;
        // Format marks that mean nothing, between two pieces of one format, are no part of the content.
        if let (
            Some(Span { insert: Node::Value(Any::String(before)), attributes: format }),
            Node::Value(Any::String(more)),
        ) = (spans.last_mut(), &insert)
            && *format == attributes
        {
            *before = format!("{before}{more}").into();
        } else {
            spans.push(Span { insert, attributes });
        }
    }
    Ok(spans)
}

/// An array as a text, if text stands in it. No library puts it there, and what reads arrays never comes to an end of
/// text beyond ASCII: it counts bytes and takes characters.
pub(super) fn text_in<T: ReadTxn>(array: &ArrayRef, txn: &T) -> Option<TextRef> {
    let text = TextRef::from(BranchPtr::from(array.as_ref()));
    (!text.get_string(txn).is_empty()).then_some(text)
}

fn items<T: ReadTxn>(array: &ArrayRef, txn: &T, depth: usize) -> Result<Vec<Node>, Unreadable> {
    array.iter(txn).map(|out| node(out, txn, depth)).collect()
}

fn entries<T: ReadTxn>(of: &Branch, txn: &T, depth: usize) -> Result<BTreeMap<String, Node>, Unreadable> {
    named(of, txn).into_iter().map(|(key, out)| Ok((key, node(out, txn, depth)?))).collect()
}

/// A map's entries or the attributes of something else. Not with the iterators over them: for each entry in a row that
/// has no value, such as a format, those call themselves once more, until the stack ends.
pub(super) fn named<T: ReadTxn>(of: &Branch, txn: &T) -> BTreeMap<String, Out> {
    let map = MapRef::from(BranchPtr::from(of));
    map.keys(txn).filter_map(|key| Some((key.to_owned(), map.get(txn, key)?))).collect()
}

fn children<T: ReadTxn>(of: &impl XmlFragment, txn: &T, depth: usize) -> Result<Vec<Node>, Unreadable> {
    of.children(txn).map(|child| node(out(child), txn, depth)).collect()
}

/// Whatever holds more, as the library sees all of it: a list beside named entries.
pub(super) fn branch(out: &Out) -> Option<&Branch> {
    match out {
        Out::YText(text) => Some(text.as_ref()),
        Out::YArray(array) => Some(array.as_ref()),
        Out::YMap(map) => Some(map.as_ref()),
        Out::YXmlElement(element) => Some(element.as_ref()),
        Out::YXmlFragment(fragment) => Some(fragment.as_ref()),
        Out::YXmlText(text) => Some(text.as_ref()),
        Out::Any(_) | Out::YDoc(_) | Out::UndefinedRef(_) => None,
    }
}

/// An XML node as any shared type.
pub(super) fn out(child: XmlOut) -> Out {
    match child {
        XmlOut::Element(element) => Out::YXmlElement(element),
        XmlOut::Fragment(fragment) => Out::YXmlFragment(fragment),
        XmlOut::Text(text) => Out::YXmlText(text),
    }
}

#[cfg(test)]
mod tests;
