//! Tests of the code at a program's end, with real engines and files that only begin as a program does.

use super::*;

/// The smallest component.
const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

const PROGRAM: &[u8] = b"\x7fELF and what a program is made of";

/// A program that carries the smallest component, and its folder.
fn carrying() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("program");
    fs::write(&program, PROGRAM).expect("writable");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("ours");
    precompile(&program, &program, &[EMPTY]).expect("code is appended");
    (folder, program)
}

/// Loads the smallest component from what a file carries, as [`component`] does.
fn load(program: &Path) -> Result<Option<Component>, Unfit> {
    let engine = Engine::shared().expect("an engine");
    let Some(carried) = Carried::of_this_engine(program)? else { return Ok(None) };
    carried.component(engine.wasm(), &Digest::of([EMPTY]))
}

#[test]
fn what_was_appended_is_loaded_and_the_program_is_as_before() {
    let (folder, program) = carrying();
    assert!(load(&program).expect("it fits").is_some());
    let bytes = fs::read(&program).expect("is there");
    assert!(bytes.starts_with(PROGRAM));
    assert_eq!(fs::metadata(&program).expect("is there").permissions().mode() & 0o777, 0o755);
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "no temporary file is left");
    let carried = Carried::read(&program).expect("whole").expect("it carries code");
    assert_eq!(carried.length as usize, bytes.len() - PROGRAM.len());
    assert_eq!(carried.code(&Digest::of([&b"another"[..]])).expect("no damage"), None);
}

#[test]
fn to_append_again_replaces() {
    let (_folder, program) = carrying();
    let once = fs::read(&program).expect("is there");
    precompile(&program, &program, &[EMPTY]).expect("code is appended");
    assert_eq!(fs::read(&program).expect("is there"), once);
    let copy = program.with_file_name("copy");
    precompile(&program, &copy, &[]).expect("nothing is appended");
    assert!(load(&copy).expect("it fits").is_none());
    assert_eq!(fs::read(&program).expect("is there"), once, "the program itself stays");
}

#[test]
fn a_file_without_an_end_of_ours_carries_nothing() {
    let (_folder, program) = carrying();
    let bytes = fs::read(&program).expect("is there");
    for end in [0, 1, PROGRAM.len(), bytes.len() - 1] {
        fs::write(&program, &bytes[..end]).expect("ours");
        assert!(load(&program).expect("no damage").is_none(), "{end}");
    }
}

#[test]
fn any_damage_is_found_and_no_damaged_code_is_loaded() {
    let (_folder, program) = carrying();
    let bytes = fs::read(&program).expect("is there");
    let magic = bytes.len() - MAGIC.len();
    // Of the code every 97th byte, of table and tail each.
    let table = magic - 32 - 16 - ENTRY - 32;
    for place in (PROGRAM.len()..table).step_by(97).chain(table..magic) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x10;
        fs::write(&program, &damaged).expect("ours");
        let unfit = load(&program).expect_err("damaged");
        assert!(matches!(unfit, Unfit::Damaged(_)), "{place}: {unfit}");
    }
    fs::write(&program, [&bytes[..PROGRAM.len()], &bytes[PROGRAM.len() + 1..]].concat()).expect("ours");
    assert!(matches!(load(&program), Err(Unfit::Damaged(_))), "a byte is missing");
    fs::write(&program, [&b"\x7fELF longer"[..], &bytes].concat()).expect("ours");
    assert!(matches!(load(&program), Err(Unfit::Damaged(_))), "bytes have come before");
}

#[test]
fn code_of_another_engine_is_not_loaded() {
    let (_folder, program) = carrying();
    let other = engine::compiler(Some(1 << 20)).expect("a compiler");
    append(&program, &program, &other, &[EMPTY]).expect("code is appended");
    assert!(matches!(load(&program), Err(Unfit::OtherEngine)));
    // Were the digest wrong, Wasmtime would still refuse it.
    let carried = Carried::read(&program).expect("whole").expect("it carries code");
    let engine = Engine::shared().expect("an engine");
    assert!(matches!(carried.component(engine.wasm(), &Digest::of([EMPTY])), Err(Unfit::Refused(_))));
}

#[test]
fn code_is_appended_to_nothing_but_a_program_whose_end_is_known() {
    let (_folder, program) = carrying();
    let mut bytes = fs::read(&program).expect("is there");
    let last = bytes.len() - MAGIC.len() - 1;
    bytes[last] ^= 1;
    fs::write(&program, &bytes).expect("ours");
    assert!(matches!(precompile(&program, &program, &[EMPTY]), Err(PrecompileError::Carries(..))));
    assert_eq!(fs::read(&program).expect("is there"), bytes, "nothing has changed");
    fs::write(&program, b"\xcf\xfa\xed\xfe").expect("ours");
    assert!(matches!(precompile(&program, &program, &[EMPTY]), Err(PrecompileError::NotElf(_))));
    let missing = program.with_file_name("missing");
    assert!(matches!(precompile(&missing, &missing, &[EMPTY]), Err(PrecompileError::File(..))));
}

#[test]
fn a_component_that_does_not_compile_is_named_as_the_reason() {
    let (_folder, program) = carrying();
    let before = fs::read(&program).expect("is there");
    let error = precompile(&program, &program, &[b"\0asm\x0d\0\x01\0\xff"]).expect_err("no component");
    assert!(error.to_string().starts_with("a component cannot be compiled: "), "{error}");
    assert_eq!(fs::read(&program).expect("is there"), before);
}
