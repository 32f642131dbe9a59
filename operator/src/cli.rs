//! The command line: every flag and environment variable, each declared once here.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::crd;

mod run;

/// Makes and keeps what the EditorClusters of a Kubernetes cluster ask for.
#[derive(Debug, Parser)]
#[command(name = "operator", version)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Reconciles, and serves the connection metrics, until a signal ends it.
    Run(Box<RunArgs>),
    /// Prints the CustomResourceDefinition as YAML.
    Crd,
}

/// The flags of `operator run`.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    /// The image of the gateways whose EditorCluster names none.
    #[arg(long, env = "EDITORCLUSTER_OPERATOR_GATEWAY_IMAGE", default_value = concat!("editorcluster:", env!("CARGO_PKG_VERSION")), value_name = "IMAGE")]
    pub gateway_image: String,
    /// The image of the managed Redis: redis-server and redis-cli (7 or later) and /bin/sh, user 999.
    #[arg(long, env = "EDITORCLUSTER_OPERATOR_REDIS_IMAGE", default_value = "redis:7.4", value_name = "IMAGE")]
    pub redis_image: String,
    /// The image of the managed Postgres: initdb and postgres (14 or later) and /bin/sh, user 999.
    #[arg(long, env = "EDITORCLUSTER_OPERATOR_POSTGRES_IMAGE", default_value = "postgres:16", value_name = "IMAGE")]
    pub postgres_image: String,
    /// Namespaces whose EditorClusters are reconciled, separated by commas. Default: all.
    #[arg(
        long,
        alias = "namespace",
        env = "EDITORCLUSTER_OPERATOR_WATCH_NAMESPACES",
        value_delimiter = ',',
        value_name = "NAMES"
    )]
    pub watch_namespaces: Vec<String>,
    /// Address of the admin port: /metrics, /livez, /readyz.
    #[arg(long, env = "EDITORCLUSTER_OPERATOR_ADMIN_LISTEN", default_value = "0.0.0.0:9090", value_name = "ADDRESS")]
    pub admin_listen: SocketAddr,
    /// Whether the connection metrics are served and registered as custom.metrics.k8s.io.
    #[arg(long, env = "EDITORCLUSTER_OPERATOR_METRICS_API", default_value_t = true, action = ArgAction::Set, value_name = "BOOL")]
    pub metrics_api: bool,
    /// Address of the metrics API, which speaks TLS.
    #[arg(
        long,
        env = "EDITORCLUSTER_OPERATOR_METRICS_API_LISTEN",
        default_value = "0.0.0.0:6443",
        value_name = "ADDRESS"
    )]
    pub metrics_api_listen: SocketAddr,
    /// The Service, in the operator's namespace, that leads to the metrics API.
    #[arg(
        long,
        env = "EDITORCLUSTER_OPERATOR_SERVICE_NAME",
        default_value = "editorcluster-operator",
        value_name = "NAME"
    )]
    pub service_name: String,
    /// That Service's port.
    #[arg(long, env = "EDITORCLUSTER_OPERATOR_SERVICE_PORT", default_value_t = 443, value_name = "PORT")]
    pub service_port: u16,
    /// The Secret with the metrics API's certificate, in the operator's namespace. Made when it is missing.
    #[arg(
        long,
        env = "EDITORCLUSTER_OPERATOR_CERTIFICATE_SECRET",
        default_value = "editorcluster-operator-metrics-api",
        value_name = "NAME"
    )]
    pub certificate_secret: String,
    /// The ClusterRole that owns the APIService, so that it goes with the installation.
    #[arg(long, env = "EDITORCLUSTER_OPERATOR_OWNER_CLUSTER_ROLE", value_name = "NAME")]
    pub owner_cluster_role: Option<String>,
    /// The Lease that says which operator reconciles, in the operator's namespace.
    #[arg(
        long,
        env = "EDITORCLUSTER_OPERATOR_LEASE_NAME",
        default_value = "editorcluster-operator",
        value_name = "NAME"
    )]
    pub lease_name: String,
    /// The operator's own namespace.
    #[arg(
        long,
        env = "EDITORCLUSTER_OPERATOR_POD_NAMESPACE",
        default_value = "editorcluster-system",
        value_name = "NAME"
    )]
    pub pod_namespace: String,
    /// The operator's own pod, for the Lease and for Events.
    #[arg(long, env = "EDITORCLUSTER_OPERATOR_POD_NAME", default_value = "operator", value_name = "NAME")]
    pub pod_name: String,
    /// The port where gateways show their metrics.
    #[arg(
        long,
        env = "EDITORCLUSTER_OPERATOR_GATEWAY_ADMIN_PORT",
        default_value_t = 9090,
        value_name = "PORT",
        hide = true
    )]
    pub gateway_admin_port: u16,
    /// How the log on standard error looks.
    #[arg(long, env = "EDITORCLUSTER_OPERATOR_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
    /// What is logged: error, warn, info, debug or trace, or a filter such as warn,operator=debug.
    #[arg(long, env = "EDITORCLUSTER_OPERATOR_LOG_LEVEL", default_value = "info", value_name = "LEVEL")]
    pub log_level: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Runs the operator with the process's arguments.
pub fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Crd => print_crd(),
        Command::Run(args) => start_log(&args).and_then(|()| run::run(*args)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not the log: it may not exist, and whoever typed a wrong flag wants one line.
            eprintln!("operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The CustomResourceDefinition as it is committed.
///
/// # Errors
///
/// It cannot be written as YAML; a test would have said so.
pub fn crd_yaml() -> anyhow::Result<String> {
    let yaml = serde_yaml::to_string(&crd::definition()?)?;
    Ok(format!(
        "# Made by `cargo run -p operator -- crd > crds/editorclusters.yaml`; a test says when it is stale.\n{yaml}"
    ))
}

fn print_crd() -> anyhow::Result<()> {
    print!("{}", crd_yaml()?);
    Ok(())
}

fn start_log(args: &RunArgs) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&args.log_level).map_err(|error| {
        anyhow::anyhow!("--log-level {}: {error}; write for example info or warn,operator=debug", args.log_level)
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}
