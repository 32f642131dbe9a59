//! The APIService that leads the HPA's questions to us. There is one provider of the group in a cluster, and the HPA
//! uses the group's preferred version for every HPA: where another provider is, in whatever version, we step back.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{FIELD_MANAGER, GROUP, MetricsAvailability, Settings, VERSION, certificate};

/// How often we look while all is well, and while it is not.
const CALM: Duration = Duration::from_secs(30);
const EAGER: Duration = Duration::from_secs(3);

/// Keeps the APIService and says how it stands. Never ends.
pub(super) async fn keep(client: Client, settings: Settings, availability: watch::Sender<MetricsAvailability>) {
    loop {
        let state = match turn(&client, &settings).await {
            Ok(state) => state,
            Err(error) => MetricsAvailability::Error(format!("{error:#}")),
        };
        let pause = match state {
            MetricsAvailability::Serving | MetricsAvailability::OtherProvider(_) => CALM,
            _ => EAGER,
        };
        availability.send_if_modified(|known| {
            let changed = *known != state;
            if changed {
                tracing::info!(?state, "metrics API");
                *known = state;
            }
            changed
        });
        tokio::time::sleep(pause).await;
    }
}

async fn turn(client: &Client, settings: &Settings) -> Result<MetricsAvailability> {
    let services: Api<APIService> = Api::all(client.clone());
    let all = services.list(&ListParams::default()).await.context("cannot list the APIServices")?.items;
    let name = format!("{VERSION}.{GROUP}");
    let plan = plan(&all, settings);
    if let Plan::StepBack { other, ours } = plan {
        if let Some(ours) = ours {
            tracing::warn!(other, "another provider serves {GROUP} too: ours steps back");
            let params =
                DeleteParams::default().preconditions(Preconditions { uid: ours.uid(), resource_version: None });
            services.delete(&name, &params).await.context("cannot delete our own APIService")?;
        }
        return Ok(MetricsAvailability::OtherProvider(other));
    }
    let Some(bundle) = certificate::ca_bundle(client, settings).await? else { return Ok(MetricsAvailability::Pending) };
    let owner = certificate::owner(client, settings).await?;
    let ours = all.into_iter().find(|one| one.name_any() == name);
    let current = match ours {
        Some(ours) if is_as_wanted(&ours, settings, &bundle, owner.as_ref()) => ours,
        _ => {
            let params = PatchParams::apply(FIELD_MANAGER).force();
            let wanted = wanted(settings, &bundle, owner.as_ref());
            services.patch(&name, &params, &Patch::Apply(&wanted)).await.context("cannot apply our APIService")?
        }
    };
    Ok(availability(&current))
}

#[derive(Debug)]
enum Plan<'a> {
    /// Nobody else is there.
    Keep,
    StepBack {
        other: String,
        ours: Option<&'a APIService>,
    },
}

fn plan<'a>(all: &'a [APIService], settings: &Settings) -> Plan<'a> {
    let of_group = || all.iter().filter(|one| one.spec.as_ref().and_then(|spec| spec.group.as_deref()) == Some(GROUP));
    let ours = of_group().find(|one| is_ours(one, settings));
    match of_group().find(|one| !is_ours(one, settings)) {
        Some(other) => Plan::StepBack { other: other.name_any(), ours },
        None => Plan::Keep,
    }
}

fn is_ours(service: &APIService, settings: &Settings) -> bool {
    let reference = service.spec.as_ref().and_then(|spec| spec.service.as_ref());
    service.name_any() == format!("{VERSION}.{GROUP}")
        && reference.is_some_and(|reference| {
            reference.namespace.as_ref() == Some(&settings.namespace)
                && reference.name.as_ref() == Some(&settings.service_name)
        })
}

fn is_as_wanted(service: &APIService, settings: &Settings, bundle: &str, owner: Option<&OwnerReference>) -> bool {
    let Some(spec) = &service.spec else { return false };
    let port = spec.service.as_ref().and_then(|reference| reference.port);
    spec.ca_bundle.as_ref().is_some_and(|known| known.0 == bundle.as_bytes())
        && port == Some(i32::from(settings.service_port))
        && spec.insecure_skip_tls_verify != Some(true)
        && owner.is_none_or(|owner| service.owner_references().iter().any(|known| known.uid == owner.uid))
}

fn wanted(settings: &Settings, bundle: &str, owner: Option<&OwnerReference>) -> Value {
    json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {
            "name": format!("{VERSION}.{GROUP}"),
            "labels": { "app.kubernetes.io/managed-by": "editorcluster-operator" },
            "ownerReferences": owner.into_iter().collect::<Vec<_>>(),
        },
        "spec": {
            "group": GROUP,
            "version": VERSION,
            "groupPriorityMinimum": 100,
            "versionPriority": 200,
            "service": {
                "namespace": settings.namespace,
                "name": settings.service_name,
                "port": settings.service_port,
            },
            "caBundle": k8s_openapi::ByteString(bundle.as_bytes().to_vec()),
        },
    })
}

fn availability(service: &APIService) -> MetricsAvailability {
    let conditions = service.status.iter().flat_map(|status| status.conditions.iter().flatten());
    match conditions.into_iter().find(|condition| condition.type_ == "Available") {
        Some(condition) if condition.status == "True" => MetricsAvailability::Serving,
        Some(condition) => {
            let message = condition.message.as_deref().unwrap_or("no message");
            MetricsAvailability::Error(format!("the API server does not reach the metrics API: {message}"))
        }
        None => MetricsAvailability::Pending,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            listen: ([127, 0, 0, 1], 0).into(),
            namespace: "system".to_owned(),
            service_name: "metrics".to_owned(),
            service_port: 443,
            secret_name: "tls".to_owned(),
            owner_cluster_role: None,
        }
    }

    fn service(group: &str, version: &str, namespace: &str, status: &str) -> APIService {
        serde_yaml::from_str(&format!(
            "{{metadata: {{name: {version}.{group}}}, spec: {{group: {group}, version: {version}, groupPriorityMinimum: 1, \
             versionPriority: 1, service: {{namespace: {namespace}, name: metrics}}}}, \
             status: {{conditions: [{{type: Available, status: '{status}', message: why}}]}}}}"
        ))
        .unwrap()
    }

    #[test]
    fn we_step_back_from_every_other_provider_of_the_group_in_whatever_version() {
        let ours = service(GROUP, "v1beta2", "system", "True");
        let cases = [
            ("nobody", vec![], None),
            ("other groups", vec![service("external.metrics.k8s.io", "v1beta1", "keda", "True")], None),
            ("ours", vec![ours.clone()], None),
            ("another in our version", vec![service(GROUP, "v1beta2", "monitoring", "True")], Some(false)),
            ("another in an older version", vec![service(GROUP, "v1beta1", "monitoring", "True")], Some(false)),
            ("our Service in another version", vec![service(GROUP, "v1beta1", "system", "True")], Some(false)),
            ("another beside ours", vec![ours, service(GROUP, "v1beta1", "monitoring", "False")], Some(true)),
        ];
        for (what, all, expected) in cases {
            let steps_back = match plan(&all, &settings()) {
                Plan::Keep => None,
                Plan::StepBack { ours, .. } => Some(ours.is_some()),
            };
            assert_eq!(steps_back, expected, "{what}");
        }
    }

    #[test]
    fn what_we_apply_is_what_we_want_and_a_new_bundle_or_owner_is_not() {
        let owner = OwnerReference { uid: "u".to_owned(), ..OwnerReference::default() };
        let ours: APIService = serde_json::from_value(wanted(&settings(), "bundle", Some(&owner))).unwrap();
        assert!(is_ours(&ours, &settings()));
        assert!(is_as_wanted(&ours, &settings(), "bundle", Some(&owner)));
        assert!(!is_as_wanted(&ours, &settings(), "other", Some(&owner)));
        let other = OwnerReference { uid: "v".to_owned(), ..OwnerReference::default() };
        assert!(!is_as_wanted(&ours, &settings(), "bundle", Some(&other)));
    }

    #[test]
    fn it_serves_when_the_api_server_says_so() {
        assert_eq!(availability(&service(GROUP, VERSION, "system", "True")), MetricsAvailability::Serving);
        let failed = availability(&service(GROUP, VERSION, "system", "False"));
        assert!(matches!(failed, MetricsAvailability::Error(message) if message.ends_with("why")));
        assert_eq!(availability(&APIService::default()), MetricsAvailability::Pending);
    }
}
