//! Rich text, written into a document: a step is a character or something embedded, with its format.

use yrs::types::Attrs;
use yrs::{
    Any, ArrayPrelim, MapPrelim, Out, TextPrelim, TransactionMut, XmlElementPrelim, XmlFragmentPrelim, XmlTextPrelim,
};

use super::super::content::{Node, Span, spans};
use super::super::json;
use super::sequence::changes;
use super::write::fill;

/// Formats reach further than the place where they are written, so setting one may take another look.
const FORMAT_ROUNDS: usize = 4;

#[derive(Clone, Copy)]
enum Glyph<'a> {
    Char(char),
    Embed(&'a Node),
}

#[derive(Clone, Copy)]
struct Step<'a> {
    glyph: Glyph<'a>,
    attributes: &'a Attrs,
}

/// What makes two steps the same, however they look.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Char(char),
    Embed(String),
}

impl Step<'_> {
    fn key(&self) -> Key {
        match self.glyph {
            Glyph::Char(c) => Key::Char(c),
            Glyph::Embed(node) => Key::Embed(json::node(node).to_string()),
        }
    }

    /// As the library counts: bytes of UTF-8.
    fn width(&self) -> u32 {
        match self.glyph {
            Glyph::Char(c) => c.len_utf8() as u32,
            Glyph::Embed(_) => 1,
        }
    }
}

pub(super) fn become_spans(txn: &mut TransactionMut<'_>, text: &impl yrs::Text, from: &[Span], to: &[Span]) {
    let (old, new) = (steps(from), steps(to));
    let mut offsets = vec![0];
    for step in &old {
        offsets.push(offsets[offsets.len() - 1] + step.width());
    }
    let keys = |steps: &[Step<'_>]| -> Vec<Key> { steps.iter().map(Step::key).collect() };
    for change in changes(&keys(&old), &keys(&new)) {
        let (start, end) = (offsets[change.old.start], offsets[change.old.end]);
        if start < end {
            text.remove_range(txn, start, end - start);
        }
        insert_steps(txn, text, start, &new[change.new]);
    }
    for _ in 0..FORMAT_ROUNDS {
        // What is nested too deep has been refused before.
        let Ok(now) = spans(text, txn, 0) else { return };
        if now == to {
            return;
        }
        become_formats(txn, text, &steps(&now), &new);
    }
    // The formats will not do as they are told: written anew, nothing old is in their way.
    let all = new.iter().map(Step::width).sum();
    if all > 0 {
        text.remove_range(txn, 0, all);
        insert_steps(txn, text, 0, &new);
    }
}

/// Gives every step of a text the look that it has in the other list.
fn become_formats(txn: &mut TransactionMut<'_>, text: &impl yrs::Text, now: &[Step<'_>], to: &[Step<'_>]) {
    let mut at = 0;
    let pairs: Vec<_> = now.iter().zip(to).collect();
    for run in pairs.chunk_by(|a, b| a.0.attributes == b.0.attributes && a.1.attributes == b.1.attributes) {
        let (has, wants) = (run[0].0.attributes, run[0].1.attributes);
        let length = run.iter().map(|(_, step)| step.width()).sum();
        if has != wants {
            let gone = has.keys().filter(|key| !wants.contains_key(*key)).map(|key| (key.clone(), Any::Null));
            let format = gone.chain(wants.iter().map(|(key, value)| (key.clone(), value.clone()))).collect();
            text.format(txn, at, length, format);
        }
        at += length;
    }
}

fn steps(spans: &[Span]) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    for span in spans {
        let step = |glyph| Step { glyph, attributes: &span.attributes };
        match &span.insert {
            Node::Value(Any::String(text)) => steps.extend(text.chars().map(|c| step(Glyph::Char(c)))),
            node => steps.push(step(Glyph::Embed(node))),
        }
    }
    steps
}

fn insert_steps(txn: &mut TransactionMut<'_>, text: &impl yrs::Text, mut at: u32, steps: &[Step<'_>]) {
    let is_run = |a: &Step<'_>, b: &Step<'_>| {
        matches!((a.glyph, b.glyph), (Glyph::Char(_), Glyph::Char(_))) && a.attributes == b.attributes
    };
    for run in steps.chunk_by(is_run) {
        let attributes = run[0].attributes.clone();
        match run[0].glyph {
            Glyph::Embed(node) => insert_embed(txn, text, at, node, attributes),
            Glyph::Char(_) => {
                let chars = run.iter().filter_map(|step| match step.glyph {
                    Glyph::Char(c) => Some(c),
                    Glyph::Embed(_) => None,
                });
                text.insert_with_attributes(txn, at, &chars.collect::<String>(), attributes);
            }
        }
        at += run.iter().map(Step::width).sum::<u32>();
    }
}

fn insert_embed(txn: &mut TransactionMut<'_>, text: &impl yrs::Text, at: u32, node: &Node, attributes: Attrs) {
    let made = match node {
        Node::Value(value) => {
            text.insert_embed_with_attributes(txn, at, value.clone(), attributes);
            return;
        }
        Node::Text(_) => Out::YText(text.insert_embed_with_attributes(txn, at, TextPrelim::new(""), attributes)),
        Node::Array(_) => Out::YArray(text.insert_embed_with_attributes(txn, at, ArrayPrelim::default(), attributes)),
        Node::Map(_) => Out::YMap(text.insert_embed_with_attributes(txn, at, MapPrelim::default(), attributes)),
        Node::Element { tag, .. } => {
            let element = XmlElementPrelim::empty(tag.clone());
            Out::YXmlElement(text.insert_embed_with_attributes(txn, at, element, attributes))
        }
        Node::Fragment(_) => {
            Out::YXmlFragment(text.insert_embed_with_attributes(txn, at, XmlFragmentPrelim::default(), attributes))
        }
        Node::XmlText { .. } => {
            Out::YXmlText(text.insert_embed_with_attributes(txn, at, XmlTextPrelim::new(""), attributes))
        }
        // A text cannot hold a document.
        Node::Subdocument(_) => return,
    };
    fill(txn, made, node);
}
