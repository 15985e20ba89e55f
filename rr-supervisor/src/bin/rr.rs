//! The supervisor under the name that RoadRunner's users, scripts and packages call.

fn main() -> std::process::ExitCode {
    rr_supervisor::main()
}
