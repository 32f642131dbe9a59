//! The update that turns a document's content into an earlier one.
//!
//! Yjs cannot go back: what was deleted stays deleted. So the earlier content is written again where it differs, as an
//! edit of a new author. What did not change keeps its place and its cursors, a shared type whose kind did not change is
//! edited and not replaced, and what others write at the same moment stays.
//!
//! - `sequence`: which parts of two lists differ
//! - `write`, `rich`: lists, entries and rich text, written into the document

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use yrs::branch::BranchPtr;
use yrs::{Array as _, Doc, Map as _, MapRef, Out, TextRef, Transact as _, TransactionMut};

use self::rich::become_spans;
use self::write::{Place, become_array, become_xml};
use super::content::{Content, Node, Root, Sequence, Unreadable, open, read};
use editorcluster_core::document::EMPTY_UPDATE;

mod rich;
mod sequence;
#[cfg(test)]
mod tests;
mod write;

/// The update to `current` after which the document's content is that of `target`. Both are states.
///
/// # Errors
/// One of them cannot be read.
pub(super) fn restore(current: &[u8], target: &[u8]) -> Result<Bytes, Unreadable> {
    let doc = open(current)?;
    let (from, to) = (read(&doc)?, read(&open(target)?)?);
    if from == to {
        return Ok(Bytes::from_static(EMPTY_UPDATE));
    }
    Ok(rewrite(&doc, &from, &to))
}

fn rewrite(doc: &Doc, from: &Content, to: &Content) -> Bytes {
    let nothing = Root::default();
    let names: BTreeSet<_> = from.0.keys().chain(to.0.keys()).collect();
    let mut txn = doc.transact_mut();
    for name in names {
        let of = |content: &'_ Content| content.0.get(name).unwrap_or(&nothing).clone();
        let (from, to) = (of(from), of(to));
        if from != to {
            become_root(&mut txn, name, &from, &to);
        }
    }
    txn.encode_update_v1().into()
}

fn become_root(txn: &mut TransactionMut<'_>, name: &str, from: &Root, to: &Root) {
    use yrs::WriteTxn as _;

    let map = txn.get_or_insert_map(name);
    become_entries(txn, &map, &from.entries, &to.entries);
    let text = txn.get_or_insert_text(name);
    let array = txn.get_or_insert_array(name);
    let xml = txn.get_or_insert_xml_fragment(name);
    match (&from.sequence, &to.sequence) {
        (Sequence::Text(from), Sequence::Text(to)) => become_spans(txn, &text, from, to),
        (Sequence::Xml(from), Sequence::Xml(to)) => become_xml(txn, &xml, from, to),
        (Sequence::Array(from), Sequence::Array(to)) => become_array(txn, &array, from, to),
        (from, to) => {
            match from {
                Sequence::Nothing => {}
                Sequence::Text(spans) => become_spans(txn, &text, spans, &[]),
                Sequence::Xml(nodes) | Sequence::Array(nodes) => array.remove_range(txn, 0, nodes.len() as u32),
            }
            match to {
                Sequence::Nothing => {}
                Sequence::Text(spans) => become_spans(txn, &text, &[], spans),
                Sequence::Xml(nodes) => become_xml(txn, &xml, &[], nodes),
                Sequence::Array(nodes) => become_array(txn, &array, &[], nodes),
            }
        }
    }
}

fn become_entries(
    txn: &mut TransactionMut<'_>,
    map: &MapRef,
    from: &BTreeMap<String, Node>,
    to: &BTreeMap<String, Node>,
) {
    for key in from.keys().filter(|key| !to.contains_key(*key)) {
        map.remove(txn, key);
    }
    for (key, node) in to {
        match from.get(key) {
            Some(old) if old == node => {}
            Some(old) if become_node(txn, map.get(txn, key), old, node) => {}
            _ => write::insert(txn, &Place::Entry(map, key), node),
        }
    }
}

/// Edits what stands in a place. False: it is of another kind and must be replaced.
fn become_node(txn: &mut TransactionMut<'_>, place: Option<Out>, from: &Node, to: &Node) -> bool {
    match (place, from, to) {
        (Some(Out::YMap(map)), Node::Map(from), Node::Map(to)) => become_entries(txn, &map, from, to),
        (Some(Out::YArray(array)), Node::Array(from), Node::Array(to)) => become_array(txn, &array, from, to),
        (Some(Out::YText(text)), Node::Text(from), Node::Text(to)) => become_spans(txn, &text, from, to),
        // It was read as a text, since there is text in it.
        (Some(Out::YArray(array)), Node::Text(from), Node::Text(to)) => {
            become_spans(txn, &TextRef::from(BranchPtr::from(array.as_ref())), from, to);
        }
        (Some(Out::YXmlFragment(xml)), Node::Fragment(from), Node::Fragment(to)) => become_xml(txn, &xml, from, to),
        (
            Some(Out::YXmlElement(xml)),
            Node::Element { tag: old, attributes: from, children: old_children },
            Node::Element { tag: new, attributes: to, children },
        ) if old == new => {
            write::become_attributes(txn, &xml, from, to);
            become_xml(txn, &xml, old_children, children);
        }
        (
            Some(Out::YXmlText(xml)),
            Node::XmlText { attributes: from, spans: old_spans },
            Node::XmlText { attributes: to, spans },
        ) => {
            write::become_attributes(txn, &xml, from, to);
            become_spans(txn, &xml, old_spans, spans);
        }
        _ => return false,
    }
    true
}

/// Whether a node can be edited into the other one.
fn is_alike(from: &Node, to: &Node) -> bool {
    match (from, to) {
        (Node::Element { tag: from, .. }, Node::Element { tag: to, .. }) => from == to,
        (Node::Value(_), _) | (Node::Subdocument(_), _) => false,
        (from, to) => std::mem::discriminant(from) == std::mem::discriminant(to),
    }
}
