//! CPU and memory, small: the pod's own schema allows more than a gateway can have.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What Kubernetes takes for a quantity.
const QUANTITY: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";

/// CPU and memory of a pod, as in a pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What is reserved on the node, such as `cpu: 100m`, `memory: 128Mi`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "quantities")]
    pub requests: BTreeMap<String, IntOrString>,
    /// What is never exceeded.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "quantities")]
    pub limits: BTreeMap<String, IntOrString>,
}

impl Resources {
    /// The same as a pod's container wants it. Empty maps are left out, so that they are not owned.
    pub fn to_requirements(&self) -> ResourceRequirements {
        ResourceRequirements { requests: convert(&self.requests), limits: convert(&self.limits), claims: None }
    }
}

fn convert(quantities: &BTreeMap<String, IntOrString>) -> Option<BTreeMap<String, Quantity>> {
    let pairs = quantities.iter().map(|(name, quantity)| {
        let text = match quantity {
            IntOrString::Int(number) => number.to_string(),
            IntOrString::String(text) => text.clone(),
        };
        (name.clone(), Quantity(text))
    });
    (!quantities.is_empty()).then(|| pairs.collect())
}

fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {
            "x-kubernetes-int-or-string": true,
            "pattern": QUANTITY,
        },
    })
}

/// The schema of a volume's size.
pub(super) fn size(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 20, "pattern": r"^[1-9][0-9]*(Mi|Gi|Ti|M|G|T)$"})
}
