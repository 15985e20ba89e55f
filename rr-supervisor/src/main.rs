//! The supervisor under its own name; `rr` is the same program.

fn main() -> std::process::ExitCode {
    rr_supervisor::main()
}
