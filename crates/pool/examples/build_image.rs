//! Builds the agent's image: `build_image TAG BASE CLAUDE WRAPPER [CA…]`.

use ccpool::image::{ImageBuild, ImageTag};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| arguments.next().ok_or(format!("missing argument: {what}"));
    let Ok(tag) = next("tag")?.parse::<ImageTag>();
    let build = ImageBuild {
        tag,
        base: next("base image")?,
        claude: next("path of claude")?.into(),
        wrapper: next("path of the wrapper")?.into(),
        ca_certificates: arguments.map(Into::into).collect(),
        docker: bollard::Docker::connect_with_local_defaults()?,
    };
    let image = build
        .run(|progress| eprintln!("[{}/{}] {}", progress.step, progress.total, progress.line))
        .await?;
    println!("{}", serde_json::to_string(&image)?);
    Ok(())
}
