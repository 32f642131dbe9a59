//! The images, built from the project's Dockerfiles by a Docker daemon of our own and kept as archives, so that
//! nothing is pulled and nothing is built twice.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use e2e_servers::gotools;
use sha2::{Digest, Sha256};

use crate::progress::Progress;
use crate::{paths, shell};

pub mod base;
pub mod docker;

/// An image by its name with tag, and the archive to import it from. The tag is a hash of what it is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub name: String,
    pub archive: PathBuf,
}

impl Image {
    /// The name without the tag, and the tag.
    pub fn repository_and_tag(&self) -> (&str, &str) {
        self.name.rsplit_once(':').unwrap_or((&self.name, "latest"))
    }
}

/// What an image is made of: a Dockerfile and the files that it copies, by their places in the context.
#[derive(Debug)]
pub struct Recipe {
    pub name: &'static str,
    pub dockerfile: PathBuf,
    /// Source and place in the context; a folder is taken with all that is in it.
    pub files: Vec<(PathBuf, PathBuf)>,
    pub arguments: Vec<&'static str>,
}

/// The images of the cluster itself and of the stores that the operator runs.
#[derive(Clone, Debug)]
pub struct ClusterImages {
    pub pause: Image,
    pub coredns: Image,
    pub metrics_server: Image,
    pub redis: Image,
    pub postgres: Image,
}

impl ClusterImages {
    pub fn all(&self) -> Vec<Image> {
        let Self { pause, coredns, metrics_server, redis, postgres } = self.clone();
        vec![pause, coredns, metrics_server, redis, postgres]
    }
}

/// The folder of the Docker daemon; its layers make the next build a quick one.
pub fn docker_folder() -> Result<PathBuf> {
    Ok(gotools::cache()?.join("docker"))
}

/// Builds those of the cluster's images that are not in the cache.
pub async fn ensure_cluster_images(progress: &Progress) -> Result<ClusterImages> {
    let recipes =
        [recipe("pause")?, recipe("coredns")?, recipe("metrics-server")?, recipe("redis")?, recipe("postgres")?];
    let [pause, coredns, metrics_server, redis, postgres] = ensure(recipes, progress).await?;
    Ok(ClusterImages { pause, coredns, metrics_server, redis, postgres })
}

/// The recipe in `e2e/images/NAME`, with the Go program of the same name if there is one.
fn recipe(name: &'static str) -> Result<Recipe> {
    let is_program = gotools::MODULES.iter().any(|module| module.programs.contains(&name));
    let files = if is_program { vec![(gotools::path(name, &|_| ())?, PathBuf::from(name))] } else { Vec::new() };
    let dockerfile = paths::workspace().join("e2e/images").join(name).join("Dockerfile");
    Ok(Recipe { name, dockerfile, files, arguments: Vec::new() })
}

/// Builds those of the images that are not in the cache, and ends the Docker daemon if it took one.
pub async fn ensure<const N: usize>(recipes: [Recipe; N], progress: &Progress) -> Result<[Image; N]> {
    let folder = gotools::cache()?.join("images");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut images = Vec::with_capacity(N);
    let mut missing = Vec::new();
    for recipe in recipes {
        let tag = recipe.key()?;
        let archive = folder.join(format!("{}-{tag}.tar", recipe.name));
        let image = Image { name: format!("localhost/{}:{tag}", recipe.name), archive };
        if !image.archive.exists() {
            missing.push((recipe, image.clone()));
        }
        images.push(image);
    }
    if !missing.is_empty() {
        let base = base::ensure(progress).await?;
        let daemon = docker::Daemon::start(&base).await?;
        let mut result = Ok(());
        for (recipe, image) in &missing {
            let what = format!("image {}", image.name);
            result = progress.during(&what, daemon.build(recipe, image)).await;
            if result.is_err() {
                break;
            }
        }
        // A failed build must not leave a daemon behind.
        daemon.stop().await?;
        result?;
        for (recipe, image) in &missing {
            remove_older(&folder, recipe.name, &image.archive);
        }
    }
    images.try_into().map_err(|_| anyhow::anyhow!("as many images as recipes"))
}

/// Archives of earlier contents would fill the disk; one that cannot be removed only takes space.
fn remove_older(folder: &Path, name: &str, keep: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let file = entry.file_name();
        let file = file.to_string_lossy();
        let is_ours =
            file.strip_suffix(".tar").and_then(|stem| stem.rsplit_once('-')).is_some_and(|(of, _)| of == name);
        if is_ours && entry.path() != keep {
            let _ = fs::remove_file(entry.path());
        }
    }
}

impl Recipe {
    /// A hash of the Dockerfile, of every file and its place, and of the base image's recipe.
    fn key(&self) -> Result<String> {
        let mut hash = Sha256::new();
        let dockerfile = fs::read_to_string(&self.dockerfile);
        let dockerfile = dockerfile.with_context(|| format!("cannot read {}", self.dockerfile.display()))?;
        if dockerfile.contains(base::NAME) {
            hash.update(base::RECIPE);
        }
        hash.update(dockerfile);
        for argument in &self.arguments {
            hash.update(argument);
        }
        for (source, place) in &self.files {
            hash_files(source, place, &mut hash)?;
        }
        Ok(short(hash))
    }

    /// Copies Dockerfile and files into `context`, where nobody changes them during the build.
    async fn stage(&self, context: &Path) -> Result<()> {
        fs::copy(&self.dockerfile, context.join("Dockerfile"))?;
        for (source, place) in &self.files {
            let target = context.join(place);
            fs::create_dir_all(target.parent().unwrap_or(context))?;
            shell::run("cp", &["-a".as_ref(), "-T".as_ref(), source.as_os_str(), target.as_os_str()]).await?;
        }
        Ok(())
    }
}

/// The first 12 digits of the hash, enough to tell apart what one machine builds.
pub(crate) fn short(hash: Sha256) -> String {
    hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// Adds a file, or all files of a folder by name, to the hash.
pub(crate) fn hash_files(source: &Path, place: &Path, hash: &mut Sha256) -> Result<()> {
    if source.is_dir() {
        let mut entries = fs::read_dir(source)?.collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        return entries.iter().try_for_each(|entry| hash_files(&entry.path(), &place.join(entry.file_name()), hash));
    }
    let bytes = fs::read(source).with_context(|| format!("cannot read {}", source.display()))?;
    hash.update(place.as_os_str().as_encoded_bytes());
    hash.update(bytes.len().to_le_bytes());
    hash.update(bytes);
    Ok(())
}
