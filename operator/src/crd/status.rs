//! The status, and the one list of its condition types and reasons.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator has applied and seen.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EditorClusterStatus {
    /// The generation of the spec that the rest of the status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The number of gateways that the operator has accepted as its target. `/scale` shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// The gateways that accept sessions now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// The gateways that are moving their sessions elsewhere before they end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining: Option<i32>,
    /// The label selector of the gateways' pods. `/scale` shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Open connections of all gateways, within 5 %, at most 30 s old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<i64>,
    /// Open documents, counted once for each gateway that has them open, within 5 %, at most 30 s old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents: Option<i64>,
    /// Where clients connect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// What is well, what is not, and what to do about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
}

/// The condition types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionType {
    Ready,
    Progressing,
    Degraded,
    RedisReady,
    StorageReady,
    MetricsAvailable,
}

impl ConditionType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Progressing => "Progressing",
            Self::Degraded => "Degraded",
            Self::RedisReady => "RedisReady",
            Self::StorageReady => "StorageReady",
            Self::MetricsAvailable => "MetricsAvailable",
        }
    }
}

/// Every reason that a condition or an Event can have. A reason is also a metric label, so it never holds a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    // Of conditions.
    AllReady,
    GatewaysStarting,
    RedisNotReady,
    StorageNotReady,
    RollingOut,
    ScalingUp,
    ScalingDown,
    Settled,
    RolloutStuck,
    GatewaysMissing,
    AsWanted,
    Running,
    ServersMissing,
    Starting,
    Unreachable,
    External,
    ForTrying,
    MetricsServed,
    MetricsFailing,
    MetricsUnknown,
    MetricsOtherProvider,
    MetricsDisabled,
    // Of a spec that cannot be built, conditions and Events.
    SecretNotFound,
    SecretKeyMissing,
    SecretValueInvalid,
    AffinityInvalid,
    NameTooLong,
    RangeInvalid,
    BothManagedAndExternal,
    SpecUnreadable,
    // Of Events alone.
    ReplicasWritten,
    ScaledUp,
    ScaleDownAccepted,
    VictimsChosen,
    ScaledDown,
    OtherPodsTerminated,
    ApiError,
    Refused,
    Conflict,
}

impl Reason {
    /// The name as it stands in a condition, an Event or a metric label.
    pub fn name(self) -> String {
        format!("{self:?}")
    }
}
