//! The programs of Kubernetes, built from their Go modules and kept beside the user's other caches, where no
//! cleaning of Cargo's target folder takes them.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

/// One folder of `e2e/go`: a Go module of its own, so that the parts cannot force versions on each other.
#[derive(Debug)]
pub struct Module {
    /// The folder's name.
    pub name: &'static str,
    /// The programs that building it makes.
    pub programs: &'static [&'static str],
    /// What is handed to `go build`; `.` is the module's own main.
    packages: &'static [&'static str],
    /// Flags of the linker, by which programs learn their version.
    link: &'static str,
}

/// Every module, in the order in which they are built.
pub const MODULES: &[Module] = &[
    Module {
        name: "kubernetes",
        programs: &["kube"],
        packages: &["."],
        link: "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3",
    },
    Module { name: "etcd", programs: &["etcd"], packages: &["."], link: "-s -w" },
    Module {
        name: "containerd",
        programs: &["containerd", "containerd-shim-runc-v2", "ctr"],
        packages: &[
            "github.com/containerd/containerd/v2/cmd/containerd",
            "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
            "github.com/containerd/containerd/v2/cmd/ctr",
        ],
        link: "-s -w",
    },
    Module { name: "helm", programs: &["helm"], packages: &["helm.sh/helm/v4/cmd/helm"], link: "-s -w" },
    Module {
        name: "metrics-server",
        programs: &["metrics-server"],
        packages: &["sigs.k8s.io/metrics-server/cmd/metrics-server"],
        link: "-s -w",
    },
    Module { name: "coredns", programs: &["coredns"], packages: &["github.com/coredns/coredns"], link: "-s -w" },
    Module { name: "pause", programs: &["pause"], packages: &["."], link: "-s -w" },
];

/// The folder of everything that is slow to make and worth keeping: `~/.cache/editorcluster`.
pub fn cache() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(std::env::var_os("HOME").context("HOME is not set; it says where the cache is")?)
            .join(".cache"),
    };
    Ok(base.join("editorcluster"))
}

/// Where the program is; it is built first if it is not in the cache, which can take minutes. `say` is told so.
pub fn path(program: &str, say: &dyn Fn(&str)) -> Result<PathBuf> {
    let module = MODULES
        .iter()
        .find(|module| module.programs.contains(&program))
        .with_context(|| format!("no module under e2e/go makes a program `{program}`"))?;
    Ok(ensure(module, say)?.join(program))
}

/// Whether the cache has the module's programs, so that [`ensure`] builds nothing.
pub fn is_built(module: &Module) -> Result<bool> {
    Ok(folder(module)?.is_dir())
}

/// The folder with the module's programs. A build is complete or absent: it is renamed into place.
pub fn ensure(module: &Module, say: &dyn Fn(&str)) -> Result<PathBuf> {
    let folder = folder(module)?;
    if folder.is_dir() {
        return Ok(folder);
    }
    let parent = cache()?.join("go");
    fs::create_dir_all(&parent).with_context(|| format!("cannot make {}", parent.display()))?;
    // Two test programs may want the same build at the same time; the second finds it done.
    let lock = File::create(parent.join(format!("{}.lock", module.name)))?;
    lock.lock().context("cannot lock the cache of Go programs")?;
    if folder.is_dir() {
        return Ok(folder);
    }
    say(&format!("building {} from its Go module (once)", module.name));
    let unfinished = tempfile::tempdir_in(&parent)?;
    build(module, &source(module), unfinished.path())?;
    fs::rename(unfinished.keep(), &folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

fn source(module: &Module) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../go").join(module.name)
}

fn folder(module: &Module) -> Result<PathBuf> {
    Ok(cache()?.join("go").join(format!("{}-{}", module.name, key(module, &source(module))?)))
}

/// Names a build: what its sources, its locked dependencies and its flags are.
fn key(module: &Module, source: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    for name in ["go.mod", "go.sum", "main.go"] {
        match fs::read(source.join(name)) {
            Ok(bytes) => {
                hash.update(name);
                hash.update(bytes.len().to_le_bytes());
                hash.update(bytes);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {name} of {}", source.display())),
        }
    }
    hash.update(module.link);
    Ok(hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect())
}

fn build(module: &Module, source: &Path, into: &Path) -> Result<()> {
    // A folder keeps each package's own name, which for a module's own main is the module's.
    let mut out = OsString::from(into);
    out.push("/");
    if let ([program], ["."]) = (module.programs, module.packages) {
        out.push(program);
    }
    let output = Command::new("go")
        .current_dir(source)
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-buildvcs=false -trimpath")
        .args(["build", "-ldflags", module.link, "-o"])
        .arg(out)
        .args(module.packages)
        .stdin(Stdio::null())
        .output()
        .context("`go` does not start; install Go 1.26 or later and put it on the PATH")?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("go build of e2e/go/{} failed ({}):\n{}", module.name, output.status, words.trim());
    }
    for program in module.programs {
        if !into.join(program).is_file() {
            bail!("go build of e2e/go/{} made no program `{program}`", module.name);
        }
    }
    Ok(())
}
