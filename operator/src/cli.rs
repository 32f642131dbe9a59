use std::process::ExitCode;
pub fn main() -> ExitCode { println!("{}", serde_yaml::to_string(&crate::crd::definition()).unwrap()); ExitCode::SUCCESS }
