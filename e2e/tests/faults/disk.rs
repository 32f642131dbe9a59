//! A volume that has no room left.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use e2e::scenario::kubectl::get;
use e2e::scenario::namespace::Namespace;
use e2e::scenario::until;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tokio::time::sleep;

use crate::load::{Breaks, Cost, Fault};

const FULL: Duration = Duration::from_secs(30);
/// A new database and its first segments of write-ahead log fit in.
const SIZE: &str = "size=160m,mode=0777";
const CLAIM: &str = "data-docs-postgres-0";

/// A node's volume that is a file system of its own from now on, until this value is dropped.
struct SmallVolume {
    folder: PathBuf,
}

impl SmallVolume {
    /// Claims a free volume for the Postgres that is to come.
    async fn claim(namespace: &Namespace) -> Result<Self> {
        let volumes = get(&["pv", "-l", "editorcluster.io/volume=local"]).await?;
        let mut free = volumes["items"].as_array().context("no list of volumes")?.iter();
        let volume = free.rfind(|it| it["status"]["phase"] == "Available").context("no volume is free")?;
        let name = volume["metadata"]["name"].as_str().context("a volume without a name")?;
        let folder = volume["spec"]["local"]["path"].as_str().context("a volume that is no folder")?;
        namespace
            .apply(&format!(
                "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: {CLAIM}}}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: local
  volumeName: {name}
  resources: {{requests: {{storage: 1Gi}}}}
"
            ))
            .await?;
        until("the volume bound", Duration::from_secs(30), || async {
            let claim = get(&["pvc", CLAIM, "-n", &namespace.name]).await?;
            Ok((claim["status"]["phase"] == "Bound").then_some(()))
        })
        .await?;
        mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), Some(SIZE))
            .with_context(|| format!("no file system on {folder}"))?;
        Ok(Self { folder: PathBuf::from(folder) })
    }

    /// Takes all the room that is left.
    fn fill(&self) -> Result<()> {
        let mut file = File::create(self.filler())?;
        let block = [0; 4096];
        loop {
            match file.write_all(&block) {
                Ok(()) => {}
                Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
                    return Ok(());
                }
                Err(error) => bail!("{}: {error}", self.filler().display()),
            }
        }
    }

    fn free(&self) -> io::Result<()> {
        fs::remove_file(self.filler())
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}

impl Drop for SmallVolume {
    fn drop(&mut self) {
        // The pod may still have it; it goes with the last who does.
        if let Err(error) = umount2(&self.folder, MntFlags::MNT_DETACH) {
            eprintln!("{} stays mounted: {error}", self.folder.display());
        }
    }
}

/// Checkpoints fail, acknowledgements go on, and what nobody has open any more waits in the gateways.
#[tokio::test]
async fn fault_disk_full_under_postgres() -> Result<()> {
    let mut volume = None;
    let prepare = async |namespace: &Namespace| {
        volume = Some(SmallVolume::claim(namespace).await?);
        Ok(())
    };
    let mut fault = Fault::begin_prepared("fault_disk_full_under_postgres", Breaks::ItsNamespace, "", prepare).await?;
    let volume = volume.context("no volume was claimed")?;
    volume.fill()?;
    fault.vanish().await?;
    fault.goes_on(300).await?;
    sleep(FULL).await;
    volume.free()?;
    fault.goes_on(300).await?;
    fault.end(Cost::Nothing).await
}
