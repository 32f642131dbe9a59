#[tokio::main]
async fn main() -> anyhow::Result<()> {
    e2e::cli::run().await
}
