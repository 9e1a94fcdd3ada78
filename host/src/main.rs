//! The binary `pointsman`; everything else is in the library.

fn main() -> std::process::ExitCode {
    pointsman::cli::main()
}
