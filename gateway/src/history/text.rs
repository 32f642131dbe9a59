//! A document as lines that people read, and the difference of two.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use similar::TextDiff;
use yrs::Any;
use yrs::types::Attrs;

use super::content::{Content, Node, Sequence, Span};
use super::json;

/// After this long a difference is given that is right but not the shortest.
const SHORTEST_WITHIN: Duration = Duration::from_secs(1);
const CONTEXT_LINES: usize = 3;

/// The document as text: a heading for each top-level value, then a line for each paragraph, item or entry.
pub(super) fn render(content: &Content) -> String {
    let mut out = String::new();
    for (name, root) in &content.0 {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(out, "== {name}");
        match &root.sequence {
            Sequence::Nothing => {}
            Sequence::Text(spans) => push_lines(&mut out, 0, &inline(spans)),
            Sequence::Xml(nodes) | Sequence::Array(nodes) => nodes.iter().for_each(|node| block(&mut out, 0, node)),
        }
        push_entries(&mut out, 0, &root.entries);
    }
    out
}

/// What has to be done to `old` to get `new`, as a unified diff; empty if nothing.
pub(super) fn difference(old: (&str, &str), new: (&str, &str)) -> String {
    let diff = TextDiff::configure().timeout(SHORTEST_WITHIN).diff_lines(old.1, new.1);
    diff.unified_diff().context_radius(CONTEXT_LINES).header(old.0, new.0).to_string()
}

fn push_lines(out: &mut String, depth: usize, text: &str) {
    for line in text.lines() {
        let _ = writeln!(out, "{:width$}{line}", "", width = depth * 2);
    }
}

fn push_entries(out: &mut String, depth: usize, entries: &BTreeMap<String, Node>) {
    for (key, value) in entries {
        push_lines(out, depth, &format!("{key}:"));
        block(out, depth + 1, value);
    }
}

fn block(out: &mut String, depth: usize, node: &Node) {
    match node {
        Node::Element { tag, attributes, children } => {
            let attributes: String =
                attributes.iter().map(|(key, value)| format!(" {key}={}", json::node(value))).collect();
            if children.iter().all(|child| matches!(child, Node::XmlText { .. })) {
                let text: String = children.iter().map(inline_node).collect();
                return push_lines(out, depth, &format!("<{tag}{attributes}>{text}</{tag}>"));
            }
            push_lines(out, depth, &format!("<{tag}{attributes}>"));
            children.iter().for_each(|child| block(out, depth + 1, child));
            push_lines(out, depth, &format!("</{tag}>"));
        }
        Node::Fragment(nodes) | Node::Array(nodes) => nodes.iter().for_each(|node| block(out, depth + 1, node)),
        Node::Map(entries) => push_entries(out, depth, entries),
        Node::Text(spans) => push_lines(out, depth, &inline(spans)),
        Node::XmlText { .. } | Node::Value(_) | Node::Subdocument(_) => push_lines(out, depth, &inline_node(node)),
    }
}

fn inline_node(node: &Node) -> String {
    match node {
        Node::XmlText { spans, .. } | Node::Text(spans) => inline(spans),
        Node::Value(Any::String(text)) => text.to_string(),
        node => json::node(node).to_string(),
    }
}

fn inline(spans: &[Span]) -> String {
    spans.iter().map(|span| format_marks(&span.attributes, &inline_node(&span.insert))).collect()
}

fn format_marks(attributes: &Attrs, text: &str) -> String {
    let marks: BTreeMap<_, _> = attributes.iter().collect();
    let (mut open, mut close) = (String::new(), String::new());
    for (name, value) in marks {
        match value {
            Any::Bool(true) => open += &format!("<{name}>"),
            value => open += &format!("<{name}={}>", json::node(&Node::Value(value.clone()))),
        }
        close = format!("</{name}>{close}");
    }
    open + text + &close
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use yrs::{
        Array as _, Doc, Map as _, Text as _, Transact as _, Xml as _, XmlElementPrelim, XmlFragment as _,
        XmlTextPrelim,
    };

    use super::*;
    use crate::history::content::read;

    fn document() -> Doc {
        let doc = Doc::new();
        let xml = doc.get_or_insert_xml_fragment("article");
        let (map, array, text) =
            (doc.get_or_insert_map("settings"), doc.get_or_insert_array("tags"), doc.get_or_insert_text("notes"));
        let mut txn = doc.transact_mut();
        let heading = xml.push_back(&mut txn, XmlElementPrelim::empty("heading"));
        heading.insert_attribute(&mut txn, "level", Any::from(2));
        heading.push_back(&mut txn, XmlTextPrelim::new("Title"));
        let list = xml.push_back(&mut txn, XmlElementPrelim::empty("list"));
        let item = list.push_back(&mut txn, XmlElementPrelim::empty("item"));
        let words = item.push_back(&mut txn, XmlTextPrelim::new("some words"));
        words.format(&mut txn, 5, 5, [("bold".into(), Any::Bool(true))].into());
        text.push(&mut txn, "one\ntwo");
        text.insert_embed(&mut txn, 3, Any::from_json(r#"{"image":"x.png"}"#).expect("JSON"));
        map.insert(&mut txn, "dark", true);
        map.insert(&mut txn, "size", 1.5);
        array.insert(&mut txn, 0, "a");
        array.insert(&mut txn, 1, Any::Buffer([1, 2].as_slice().into()));
        drop(txn);
        doc
    }

    #[test]
    fn every_kind_of_content_has_lines() {
        let text = render(&read(&document()).unwrap());
        expect![[r#"
            == article
            <heading level=2>Title</heading>
            <list>
              <item>some <bold>words</bold></item>
            </list>
            == notes
            one{"image":"x.png"}
            two
            == settings
            dark:
              true
            size:
              1.5
            == tags
            a
            {"$bytes":"AQI="}
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn a_difference_shows_what_came_and_went() {
        let doc = document();
        let old = render(&read(&doc).unwrap());
        let text = doc.get_or_insert_text("notes");
        text.push(&mut doc.transact_mut(), " and three");
        let new = render(&read(&doc).unwrap());
        expect![[r#"
            --- 1
            +++ 2
            @@ -5,7 +5,7 @@
             </list>
             == notes
             one{"image":"x.png"}
            -two
            +two and three
             == settings
             dark:
               true
        "#]]
        .assert_eq(&difference(("1", &old), ("2", &new)));
        assert_eq!(difference(("1", &old), ("2", &old)), "");
    }
}
