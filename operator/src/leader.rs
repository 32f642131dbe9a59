//! Leader election with a Lease: of all operators of an installation one reconciles, the others stand by.
//!
//! Every write is guarded by the resource version that was read, so two can never both succeed. Whether a holder is
//! gone is judged by how long *we* have seen no change, never by comparing the clocks of two machines. A leader that
//! could not renew for [`LeaseSettings::renew_deadline`] has lost, which is before anybody else may take over.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Which Lease, who we are, and the times.
#[derive(Clone, Debug)]
pub struct LeaseSettings {
    pub namespace: String,
    pub name: String,
    /// Unique among the candidates and new for every process: two processes of one pod are two candidates.
    pub identity: String,
    /// How long the others wait for a leader that shows no sign of life.
    pub duration: Duration,
    /// How long the leader goes on without a successful renewal. Less than `duration`.
    pub renew_deadline: Duration,
    /// The time between two tries.
    pub retry: Duration,
}

impl LeaseSettings {
    /// 15 s, 10 s and 2 s; the identity is the pod's name with something random behind it.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>, pod: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            identity: format!("{pod}_{:016x}", rand::random::<u64>()),
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// We lead for as long as this is held and not [`lost`](Self::lost). Dropping it stops the renewal without a release.
pub struct Leadership {
    lost: watch::Receiver<bool>,
    release: Option<oneshot::Sender<()>>,
    renewal: tokio::task::JoinHandle<()>,
}

impl Leadership {
    /// Resolves when the lease could not be kept. The process should exit then: what it still does may collide with
    /// its successor.
    pub async fn lost(&self) {
        let mut lost = self.lost.clone();
        // An error means that the renewal has ended in some other way, which is as bad.
        let _ = lost.wait_for(|lost| *lost).await;
    }

    /// Gives the lease back, so that a successor takes over at once. Call it when everything that only the leader may
    /// do has ended.
    pub async fn release(mut self) {
        if let Some(release) = self.release.take() {
            let _ = release.send(());
        }
        let _ = (&mut self.renewal).await;
    }
}

impl Drop for Leadership {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// Waits until we lead. Nothing if `shutdown` came first. A Kubernetes API that does not answer is asked again.
pub async fn campaign(client: Client, settings: LeaseSettings, shutdown: CancellationToken) -> Option<Leadership> {
    let mut candidate = Candidate { leases: Api::namespaced(client, &settings.namespace), settings, seen: None };
    loop {
        match timeout(candidate.settings.renew_deadline, candidate.step()).await {
            Ok(Ok(true)) => break,
            Ok(Ok(false)) => {}
            Ok(Err(error)) => tracing::warn!("cannot campaign for the lease, trying again: {error:#}"),
            Err(_) => tracing::warn!("cannot campaign for the lease, trying again: the API does not answer"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return None,
            () = sleep(candidate.settings.retry) => {}
        }
    }
    tracing::info!(lease = candidate.settings.name, identity = candidate.settings.identity, "leading");
    let (report, lost) = watch::channel(false);
    let (release, released) = oneshot::channel();
    let renewal = tokio::spawn(async move {
        tokio::select! {
            () = candidate.renew_until_lost() => {
                report.send_replace(true);
            }
            Ok(()) = released => candidate.give_back().await,
        }
    });
    Some(Leadership { lost, release: Some(release), renewal })
}

/// What to do about the lease as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Create,
    /// Nobody holds it, or its holder shows no sign of life.
    Take,
    /// It is ours.
    Renew,
    Wait,
}

fn decide(lease: Option<&LeaseSpec>, us: &str, unchanged: Duration) -> Decision {
    let Some(lease) = lease else { return Decision::Create };
    let holder = lease.holder_identity.as_deref().unwrap_or_default();
    let patience = Duration::from_secs(lease.lease_duration_seconds.unwrap_or(0).try_into().unwrap_or(0));
    match holder {
        "" => Decision::Take,
        holder if holder == us => Decision::Renew,
        _ if unchanged >= patience => Decision::Take,
        _ => Decision::Wait,
    }
}

struct Candidate {
    leases: Api<Lease>,
    settings: LeaseSettings,
    /// The resource version that we saw last, and when we saw it first.
    seen: Option<(String, Instant)>,
}

impl Candidate {
    /// Reads the lease and does what is to be done. Whether we hold it now.
    async fn step(&mut self) -> Result<bool> {
        let name = &self.settings.name;
        let lease = self.leases.get_opt(name).await.with_context(|| format!("cannot read the Lease {name}"))?;
        let version = lease.as_ref().and_then(|lease| lease.metadata.resource_version.clone()).unwrap_or_default();
        let unchanged = match &self.seen {
            Some((seen, since)) if *seen == version => since.elapsed(),
            _ => {
                self.seen = Some((version, Instant::now()));
                Duration::ZERO
            }
        };
        let spec = lease.as_ref().map(|lease| lease.spec.clone().unwrap_or_default());
        let decision = decide(spec.as_ref(), &self.settings.identity, unchanged);
        let written = match (decision, lease) {
            (Decision::Wait, _) => return Ok(false),
            (Decision::Create, _) | (_, None) => {
                let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
                let lease = Lease { metadata, spec: Some(self.held(LeaseSpec::default(), true)) };
                self.leases.create(&PostParams::default(), &lease).await
            }
            (Decision::Take | Decision::Renew, Some(mut lease)) => {
                lease.spec = Some(self.held(spec.unwrap_or_default(), decision == Decision::Take));
                self.leases.replace(name, &PostParams::default(), &lease).await
            }
        };
        match written {
            Ok(_) => Ok(true),
            // Somebody was quicker.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error).with_context(|| format!("cannot write the Lease {name}")),
        }
    }

    fn held(&self, before: LeaseSpec, taken: bool) -> LeaseSpec {
        let now = Some(MicroTime(jiff::Timestamp::now()));
        LeaseSpec {
            holder_identity: Some(self.settings.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(self.settings.duration.as_secs()).unwrap_or(i32::MAX)),
            acquire_time: if taken { now.clone() } else { before.acquire_time },
            lease_transitions: Some(before.lease_transitions.unwrap_or(0) + i32::from(taken)),
            renew_time: now,
            ..before
        }
    }

    async fn renew_until_lost(&mut self) {
        let mut renewed = Instant::now();
        loop {
            sleep(self.settings.retry).await;
            // What counts is when the renewal was sent: the others count from when it arrived, which is later.
            let sent = Instant::now();
            let left = self.settings.renew_deadline.saturating_sub(renewed.elapsed());
            match timeout(left, self.step()).await {
                Ok(Ok(true)) => renewed = sent,
                Ok(Ok(false)) => {
                    // A conflict may be somebody's edit of the lease's labels; the next look tells whose it is.
                    if self.is_somebody_elses().await {
                        tracing::error!("the lease is somebody else's");
                        return;
                    }
                }
                Ok(Err(error)) => tracing::warn!("cannot renew the lease, trying again: {error:#}"),
                Err(_) => {}
            }
            if renewed.elapsed() >= self.settings.renew_deadline {
                tracing::error!("the lease could not be renewed for {} s", self.settings.renew_deadline.as_secs());
                return;
            }
        }
    }

    async fn is_somebody_elses(&self) -> bool {
        let look = timeout(self.settings.retry, self.leases.get_opt(&self.settings.name)).await;
        let Ok(Ok(Some(lease))) = look else { return false };
        let holder = lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
        !holder.is_empty() && holder != self.settings.identity
    }

    async fn give_back(&self) {
        let give = async {
            let Some(mut lease) = self.leases.get_opt(&self.settings.name).await? else { return Ok(()) };
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() != Some(&self.settings.identity) {
                return Ok(());
            }
            spec.holder_identity = Some(String::new());
            spec.renew_time = Some(MicroTime(jiff::Timestamp::now()));
            self.leases.replace(&self.settings.name, &PostParams::default(), &lease).await.map(drop)
        };
        match timeout(self.settings.retry, give).await {
            Ok(Ok(())) => tracing::info!("gave the lease back"),
            Ok(Err(error)) => {
                tracing::warn!("cannot give the lease back, a successor has to wait for its end: {error}")
            }
            Err(_) => tracing::warn!("cannot give the lease back, a successor has to wait for its end"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(holder: Option<&str>) -> LeaseSpec {
        LeaseSpec {
            holder_identity: holder.map(str::to_owned),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn a_lease_is_taken_only_from_nobody_or_from_a_holder_without_a_sign_of_life() {
        let seconds = Duration::from_secs;
        let cases = [
            ("there is none", None, 0, Decision::Create),
            ("given back", Some(spec(Some(""))), 0, Decision::Take),
            ("never held", Some(spec(None)), 0, Decision::Take),
            ("ours", Some(spec(Some("us"))), 100, Decision::Renew),
            ("another's, just seen", Some(spec(Some("them"))), 0, Decision::Wait),
            ("another's, unchanged for 14 s", Some(spec(Some("them"))), 14, Decision::Wait),
            ("another's, unchanged for 15 s", Some(spec(Some("them"))), 15, Decision::Take),
        ];
        for (what, lease, unchanged, expected) in cases {
            assert_eq!(decide(lease.as_ref(), "us", seconds(unchanged)), expected, "{what}");
        }
    }

    #[test]
    fn two_processes_of_one_pod_are_two_candidates() {
        let one = LeaseSettings::new("ns", "lease", "pod");
        assert_ne!(one.identity, LeaseSettings::new("ns", "lease", "pod").identity);
        assert!(one.renew_deadline < one.duration);
    }
}
