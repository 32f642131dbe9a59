//! What the API says about itself. The aggregator reads it as a user without rights, so it is open to every user.

use axum::http::{HeaderMap, header};
use serde_json::{Value, json};

use super::answer::Metric;
use super::{GROUP, VERSION};

/// The resource that has metrics, as it stands in the path.
pub const RESOURCE: &str = "editorclusters.editorcluster.io";

/// The media type of the aggregated discovery. Without it the aggregator takes the old path, resource by resource.
pub const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Whether the client understands [`AGGREGATED`].
pub fn wants_aggregated(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|media| {
        let parameters: Vec<_> = media.split(';').map(str::trim).collect();
        AGGREGATED.split(';').all(|wanted| parameters.contains(&wanted))
    })
}

/// `/apis` for whoever understands [`AGGREGATED`].
pub fn aggregated() -> Value {
    let metrics: Vec<_> = Metric::ALL
        .iter()
        .map(|metric| {
            json!({
                "subresource": metric.name(),
                "responseKind": { "group": "", "version": "", "kind": "MetricValueList" },
                "verbs": ["get"],
            })
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [{
            "metadata": { "name": GROUP, "creationTimestamp": null },
            "versions": [{
                "version": VERSION,
                "freshness": "Current",
                "resources": [{
                    "resource": RESOURCE,
                    // There is no such resource, only what stands below it. Its kind is empty and not left out,
                    // because client-go 0.26.0 to 0.26.3 fall over a missing one.
                    "responseKind": { "group": "", "version": "", "kind": "" },
                    "scope": "Namespaced",
                    "singularResource": "",
                    "verbs": [],
                    "subresources": metrics,
                }],
            }],
        }],
    })
}

/// `/apis` for everybody else.
pub fn group_list() -> Value {
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": [group()] })
}

/// `/apis/custom.metrics.k8s.io`.
pub fn group() -> Value {
    let version = json!({ "groupVersion": format!("{GROUP}/{VERSION}"), "version": VERSION });
    json!({ "kind": "APIGroup", "apiVersion": "v1", "name": GROUP, "versions": [version], "preferredVersion": version })
}

/// `/apis/custom.metrics.k8s.io/v1beta2`.
pub fn resources() -> Value {
    let resources: Vec<_> = Metric::ALL
        .iter()
        .map(|metric| {
            json!({
                "name": format!("{RESOURCE}/{}", metric.name()),
                "singularName": "",
                "namespaced": true,
                "kind": "MetricValueList",
                "verbs": ["get"],
            })
        })
        .collect();
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": format!("{GROUP}/{VERSION}"),
        "resources": resources,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregated_discovery_is_for_whoever_asks_for_version_2() {
        let cases = [
            ("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", true),
            ("application/json; as=APIGroupDiscoveryList; v=v2; g=apidiscovery.k8s.io, application/json", true),
            ("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json", false),
            ("application/json", false),
            ("*/*", false),
        ];
        for (accept, expected) in cases {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
            assert_eq!(wants_aggregated(&headers), expected, "{accept}");
        }
    }
}
