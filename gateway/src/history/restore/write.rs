//! Content, written into a document.

use std::collections::BTreeMap;

use yrs::{
    Any, Array as _, ArrayPrelim, ArrayRef, Doc, In, Map as _, MapPrelim, MapRef, Options, Out, TransactionMut, Xml,
    XmlElementPrelim, XmlFragment, XmlFragmentPrelim,
};

use yrs::types::xml::XmlIn;

use super::super::content::{Node, out};
use super::super::json;
use super::sequence::{Change, changes};
use super::{become_node, is_alike};

/// Where something new is to stand.
pub(super) enum Place<'a> {
    Entry(&'a MapRef, &'a str),
    Item(&'a ArrayRef, u32),
}

/// Writes a node where there is none, or over an entry.
pub(super) fn insert(txn: &mut TransactionMut<'_>, place: &Place<'_>, node: &Node) {
    if let Node::Subdocument(id) = node {
        // Its reference comes back; what is in it is stored elsewhere and not touched.
        let doc = Doc::with_options(Options { guid: id.clone(), ..Options::default() });
        match place {
            Place::Entry(map, key) => drop(map.insert(txn, *key, doc)),
            Place::Item(array, index) => drop(array.insert(txn, *index, doc)),
        }
        return;
    }
    let made = match place {
        Place::Entry(map, key) => map.insert(txn, *key, shell(node)),
        Place::Item(array, index) => array.insert(txn, *index, shell(node)),
    };
    fill(txn, made, node);
}

/// A shared type with nothing in it, or a value. Not the library's copies of whole types: those turn an element's
/// attributes into strings, and a heading of level 1 is not one of level "1".
fn shell(node: &Node) -> In {
    match node {
        Node::Value(value) => value.clone().into(),
        Node::Text(_) => In::Text(Default::default()),
        Node::Array(_) => In::Array(ArrayPrelim::default()),
        Node::Map(_) => In::Map(MapPrelim::default()),
        Node::Element { tag, .. } => In::XmlElement(XmlElementPrelim::empty(tag.clone())),
        Node::Fragment(_) => In::XmlFragment(XmlFragmentPrelim::default()),
        Node::XmlText { .. } => In::XmlText(Default::default()),
        // As an attribute, where a document cannot stand.
        Node::Subdocument(_) => In::Any(Any::Undefined),
    }
}

/// What is empty is edited into what it shall be.
pub(super) fn fill(txn: &mut TransactionMut<'_>, made: Out, node: &Node) {
    let empty = match node {
        Node::Text(_) => Node::Text(Vec::new()),
        Node::Array(_) => Node::Array(Vec::new()),
        Node::Map(_) => Node::Map(BTreeMap::new()),
        Node::Element { tag, .. } => {
            Node::Element { tag: tag.clone(), attributes: BTreeMap::new(), children: Vec::new() }
        }
        Node::Fragment(_) => Node::Fragment(Vec::new()),
        Node::XmlText { .. } => Node::XmlText { attributes: BTreeMap::new(), spans: Vec::new() },
        Node::Value(_) | Node::Subdocument(_) => return,
    };
    become_node(txn, Some(made), &empty, node);
}

pub(super) fn become_attributes(
    txn: &mut TransactionMut<'_>,
    xml: &impl Xml,
    from: &BTreeMap<String, Node>,
    to: &BTreeMap<String, Node>,
) {
    for key in from.keys().filter(|key| !to.contains_key(*key)) {
        xml.remove_attribute(txn, key);
    }
    for (key, node) in to.iter().filter(|(key, node)| from.get(*key) != Some(*node)) {
        let made = xml.insert_attribute(txn, key.as_str(), shell(node));
        fill(txn, made, node);
    }
}

pub(super) fn become_array(txn: &mut TransactionMut<'_>, array: &ArrayRef, from: &[Node], to: &[Node]) {
    for change in list_changes(from, to) {
        for (old, new) in change.old.clone().zip(change.new.clone()).take(edited(&change, from, to)) {
            let place = array.get(txn, old as u32);
            become_node(txn, place, &from[old], &to[new]);
        }
        let change = rest(&change, edited(&change, from, to));
        if !change.old.is_empty() {
            array.remove_range(txn, change.old.start as u32, change.old.len() as u32);
        }
        for (index, node) in (change.old.start as u32..).zip(&to[change.new]) {
            insert(txn, &Place::Item(array, index), node);
        }
    }
}

pub(super) fn become_xml(txn: &mut TransactionMut<'_>, xml: &impl XmlFragment, from: &[Node], to: &[Node]) {
    for change in list_changes(from, to) {
        for (old, new) in change.old.clone().zip(change.new.clone()).take(edited(&change, from, to)) {
            let place = xml.get(txn, old as u32).map(out);
            become_node(txn, place, &from[old], &to[new]);
        }
        let change = rest(&change, edited(&change, from, to));
        if !change.old.is_empty() {
            xml.remove_range(txn, change.old.start as u32, change.old.len() as u32);
        }
        for (index, node) in (change.old.start as u32..).zip(&to[change.new]) {
            let shell = match node {
                Node::Element { tag, .. } => XmlIn::Element(XmlElementPrelim::empty(tag.clone())),
                Node::Fragment(_) => XmlIn::Fragment(XmlFragmentPrelim::default()),
                // `content` calls a list XML only if all of it is.
                _ => XmlIn::Text(Default::default()),
            };
            let made = out(xml.insert(txn, index, shell));
            fill(txn, made, node);
        }
    }
}

fn list_changes(from: &[Node], to: &[Node]) -> Vec<Change> {
    let key = |node: &Node| json::node(node).to_string();
    let (old, new): (Vec<_>, Vec<_>) = (from.iter().map(key).collect(), to.iter().map(key).collect());
    changes(&old, &new)
}

/// How many nodes at the beginning of a change are edited rather than replaced.
fn edited(change: &Change, from: &[Node], to: &[Node]) -> usize {
    let both = from[change.old.clone()].iter().zip(&to[change.new.clone()]);
    both.take_while(|(from, to)| is_alike(from, to)).count()
}

/// A change without its first few nodes.
fn rest(change: &Change, edited: usize) -> Change {
    Change { old: change.old.start + edited..change.old.end, new: change.new.start + edited..change.new.end }
}
