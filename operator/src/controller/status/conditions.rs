//! The conditions: what is well, what is not, and what to do about it.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::Seen;
use crate::controller::observe::Gateways;
use crate::controller::validate::{Invalid, PostgresPlan, RedisPlan, Validated};
use crate::crd::{ConditionType, EditorCluster, Reason, RedisMode};
use crate::metrics_api::MetricsAvailability;

/// The conditions of one object, from those of before: a time changes only with its status.
pub(super) struct Conditions {
    all: Vec<Condition>,
    generation: Option<i64>,
}

impl Conditions {
    pub(super) fn new(object: &EditorCluster) -> Self {
        let all = object.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
        Self { all, generation: object.metadata.generation }
    }

    fn set(&mut self, kind: ConditionType, status: Option<bool>, reason: Reason, message: impl Into<String>) {
        let status = match status {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        };
        let before = self.all.iter().position(|it| it.type_ == kind.as_str()).map(|index| self.all.remove(index));
        let since = before.filter(|it| it.status == status).map(|it| it.last_transition_time);
        self.all.push(Condition {
            type_: kind.as_str().to_owned(),
            status: status.to_owned(),
            reason: reason.name(),
            message: message.into(),
            observed_generation: self.generation,
            // Whole seconds are what the API server keeps; a fraction would make every status look new.
            last_transition_time: since.unwrap_or_else(|| Time(whole_seconds(Timestamp::now()))),
        });
    }

    fn is_true(&self, kind: ConditionType) -> bool {
        self.all.iter().any(|it| it.type_ == kind.as_str() && it.status == "True")
    }

    /// In the order in which they were set.
    pub(super) fn finish(self) -> Vec<Condition> {
        self.all
    }
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// What a store's condition says.
struct Verdict {
    status: bool,
    reason: Reason,
    message: String,
}

impl Verdict {
    fn new(status: bool, reason: Reason, message: impl Into<String>) -> Self {
        Self { status, reason, message: message.into() }
    }
}

/// RedisReady and StorageReady: as its pods are, and then as the gateways find it.
pub(super) fn of_stores(conditions: &mut Conditions, plan: &Validated, seen: &Seen<'_>) {
    let asked = seen.load.map_or(0, |load| load.asked);
    let redis = match &plan.redis {
        RedisPlan::Managed { mode: RedisMode::Standalone, .. } => {
            of_store(plan, "redis", seen.redis, Verdict::new(true, Reason::Running, "Redis runs."))
        }
        // Two: a primary, and a replica without which it takes no writes. The same two have the majority of the sentinels.
        RedisPlan::Managed { mode: mode @ RedisMode::Replicated, .. } => {
            of_servers(plan, seen.redis, *mode, 2, "a primary, two replicas and three sentinels")
        }
        // A server is ready only where the whole cluster works, and for that three are enough.
        RedisPlan::Managed { mode: mode @ RedisMode::Cluster, .. } => {
            of_servers(plan, seen.redis, *mode, 3, "a cluster of three primaries with a replica each")
        }
        RedisPlan::External { secret, key, .. } => {
            Verdict::new(true, Reason::External, format!("The Redis of the Secret {secret} (key {key})."))
        }
    };
    let redis = of_reach(redis, plan, "Redis", seen.load.map_or(0, |load| load.without_log), asked);
    conditions.set(ConditionType::RedisReady, Some(redis.status), redis.reason, redis.message);

    let postgres = match &plan.postgres {
        PostgresPlan::Managed { .. } => {
            let trying = "Postgres runs: one instance without a replica or a backup, for trying. \
                          For people's documents, name a database in spec.storage.postgres.external.";
            of_store(plan, "postgres", seen.postgres, Verdict::new(true, Reason::ForTrying, trying))
        }
        PostgresPlan::ExternalUri { secret } | PostgresPlan::ExternalParts { secret, .. } => {
            Verdict::new(true, Reason::External, format!("The Postgres of the Secret {secret}."))
        }
    };
    let postgres = of_reach(postgres, plan, "Postgres", seen.load.map_or(0, |load| load.without_store), asked);
    conditions.set(ConditionType::StorageReady, Some(postgres.status), postgres.reason, postgres.message);
}

fn of_store(plan: &Validated, component: &str, set: Option<&StatefulSet>, well: Verdict) -> Verdict {
    if ready(set) > 0 {
        return well;
    }
    let pod = format!("{}-{component}-0", plan.name);
    let message = format!(
        "The pod {pod} is not ready. If it stays so: kubectl describe pod {pod} -n {}, and look whether its claim is bound.",
        plan.namespace
    );
    Verdict::new(false, Reason::Starting, message)
}

/// Of `mode`'s servers `needed` must be ready. `well`: what they are when all are.
fn of_servers(plan: &Validated, set: Option<&StatefulSet>, mode: RedisMode, needed: i32, well: &str) -> Verdict {
    let (ready, servers) = (ready(set), mode.servers());
    let look = format!(
        "kubectl describe pods -n {} -l app.kubernetes.io/instance={},app.kubernetes.io/component=redis",
        plan.namespace, plan.name
    );
    if ready >= servers {
        Verdict::new(true, Reason::Running, format!("Redis runs: {well}."))
    } else if ready >= needed {
        let message =
            format!("Redis runs, with {ready} of {servers} servers: no other may fail. If it stays so: {look}");
        Verdict::new(true, Reason::ServersMissing, message)
    } else {
        let message =
            format!("{ready} of {servers} servers are ready, and {needed} are needed. If it stays so: {look}");
        Verdict::new(false, Reason::Starting, message)
    }
}

fn ready(set: Option<&StatefulSet>) -> i32 {
    set.and_then(|set| set.status.as_ref()).and_then(|status| status.ready_replicas).unwrap_or(0)
}

/// Most gateways have the last word. A few that cannot reach it are the metric's business: their own network is at fault.
fn of_reach(found: Verdict, plan: &Validated, what: &str, without: usize, asked: usize) -> Verdict {
    if !found.status || without * 2 <= asked {
        return found;
    }
    let message = format!(
        "{without} of {asked} gateways cannot reach {what}. Look at its own log, at the network and its policies, and at: \
         kubectl logs -n {} -l app.kubernetes.io/instance={},app.kubernetes.io/component=gateway",
        plan.namespace, plan.name
    );
    Verdict::new(false, Reason::Unreachable, message)
}

/// Ready, Progressing and Degraded. After the stores' conditions, which Ready needs.
pub(super) fn of_gateways(conditions: &mut Conditions, plan: &Validated, target: i32, gateways: &Gateways) {
    let ready = gateways.ready();
    let enough = target.min(plan.autoscaling.min_replicas);
    let look = format!(
        "kubectl describe pods -n {} -l app.kubernetes.io/instance={},app.kubernetes.io/component=gateway",
        plan.namespace, plan.name
    );
    if ready >= enough
        && conditions.is_true(ConditionType::RedisReady)
        && conditions.is_true(ConditionType::StorageReady)
    {
        let message = "Gateways, Redis and storage serve.";
        conditions.set(ConditionType::Ready, Some(true), Reason::AllReady, message);
    } else if !conditions.is_true(ConditionType::RedisReady) {
        let message = "Waits for Redis; see the condition RedisReady.";
        conditions.set(ConditionType::Ready, Some(false), Reason::RedisNotReady, message);
    } else if !conditions.is_true(ConditionType::StorageReady) {
        let message = "Waits for Postgres; see the condition StorageReady.";
        conditions.set(ConditionType::Ready, Some(false), Reason::StorageNotReady, message);
    } else {
        let message = format!("{ready} of at least {enough} gateways are ready. If it stays so: {look}");
        conditions.set(ConditionType::Ready, Some(false), Reason::GatewaysStarting, message);
    }

    let live = gateways.deployment.as_ref().and_then(|it| it.spec.as_ref()).and_then(|spec| spec.replicas);
    let (progressing, reason, message) = if live.is_some_and(|live| live > target) || gateways.draining() > 0 {
        (
            true,
            Reason::ScalingDown,
            format!("On the way to {target} gateways; those that go are moving their sessions."),
        )
    } else if gateways.rolling() || gateways.deployment.is_none() {
        (true, Reason::RollingOut, "Gateways are being made or replaced, one after the other.".to_owned())
    } else if ready < target {
        (true, Reason::ScalingUp, format!("{ready} of {target} gateways are ready."))
    } else {
        (false, Reason::Settled, format!("{target} gateways, as wanted."))
    };
    conditions.set(ConditionType::Progressing, Some(progressing), reason, message);

    if let Some(stuck) = gateways.stuck() {
        let message = format!("A rollout does not get on ({stuck}). Look at its newest pods: {look}");
        conditions.set(ConditionType::Degraded, Some(true), Reason::RolloutStuck, message);
    } else if ready < enough && gateways.complete() {
        let message = format!("{ready} of at least {enough} gateways are ready: {look}");
        conditions.set(ConditionType::Degraded, Some(true), Reason::GatewaysMissing, message);
    } else {
        conditions.set(ConditionType::Degraded, Some(false), Reason::AsWanted, "Nothing is broken.");
    }
}

/// MetricsAvailable: whether we serve, and then as the autoscaler finds it.
pub(super) fn of_metrics(
    conditions: &mut Conditions,
    metrics: &MetricsAvailability,
    autoscaler: Option<&HorizontalPodAutoscaler>,
) {
    let kind = ConditionType::MetricsAvailable;
    match metrics {
        MetricsAvailability::Serving | MetricsAvailability::Pending => {}
        MetricsAvailability::OtherProvider(service) => {
            let message = format!(
                "The APIService {service} is another provider's, so connections do not scale the gateways. \
                 Remove that provider, or scale on cpuUtilization."
            );
            conditions.set(kind, Some(false), Reason::MetricsOtherProvider, message);
            return;
        }
        MetricsAvailability::Disabled => {
            let message =
                "The operator was started with --metrics-api=false, so connections do not scale the gateways.";
            conditions.set(kind, Some(false), Reason::MetricsDisabled, message);
            return;
        }
        MetricsAvailability::Error(error) => {
            let message = format!("The metrics API does not serve: {error}");
            conditions.set(kind, Some(false), Reason::MetricsFailing, message);
            return;
        }
    }
    let status = autoscaler.and_then(|it| it.status.as_ref());
    let active =
        status.and_then(|it| it.conditions.as_ref()).and_then(|all| all.iter().find(|it| it.type_ == "ScalingActive"));
    match active {
        Some(active) if active.status == "True" => {
            conditions.set(kind, Some(true), Reason::MetricsServed, "The autoscaler reads the gateways' connections.");
        }
        Some(active) if active.status == "False" => {
            let message = format!(
                "The autoscaler cannot read the gateways' connections, so their number stays as it is ({}). \
                 See kubectl get apiservice v1beta2.custom.metrics.k8s.io, and the operator's log.",
                one_line(active.message.as_deref().unwrap_or_default())
            );
            conditions.set(kind, Some(false), Reason::MetricsFailing, message);
        }
        _ => {
            let name = autoscaler.map(ResourceExt::name_any).unwrap_or_default();
            let message = format!("The autoscaler {name} has not read the gateways' connections yet.");
            conditions.set(kind, None, Reason::MetricsUnknown, message);
        }
    }
}

/// An autoscaler's message begins with what matters; what follows may change at every look.
fn one_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().chars().take(200).collect()
}

/// What all conditions say about a spec that cannot be built.
pub(super) fn of_invalid(conditions: &mut Conditions, invalid: &Invalid) {
    let message = format!("{invalid}. What runs already is left as it is.");
    conditions.set(ConditionType::Ready, Some(false), invalid.reason(), message.clone());
    conditions.set(ConditionType::Degraded, Some(true), invalid.reason(), message);
}
