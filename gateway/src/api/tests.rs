use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

#[test]
fn every_route_is_described_and_every_description_has_a_route() {
    let described: Value = serde_json::from_str(OPENAPI).unwrap();
    let described: BTreeSet<_> = described["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let routes = routes();
    let mut served: BTreeSet<_> = routes.iter().map(|(path, _)| *path).collect();
    assert!(served.remove("/api/openapi.json"), "the description itself");
    assert_eq!(served, described);
}

#[test]
fn every_reference_in_the_description_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let description: Value = serde_json::from_str(OPENAPI).unwrap();
    let mut found = BTreeSet::new();
    references(&description, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        assert!(description.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
}
