//! Compiled code that the program carries at the end of its own file, so that a start has nothing to compile.
//!
//! `pointsman precompile` compiles the components in the program, and appends their code to it:
//!
//! ```text
//! the program | code of a component, deflated | code of the next | ... | table | tail
//! ```
//!
//! The tail has a fixed length and says where the rest begins; the table names each component by its digest. Code is
//! made for any processor of the architecture, not for the one that compiled it. It is used if the engine would make the
//! same today (Wasmtime's hash of everything that code depends on, and our version), the component is the one in this program,
//! and nothing is damaged; otherwise the component is compiled as in a program that carries nothing.
//!
//! The code runs as machine code with the rights of this process, and so does the program in whose file it stands:
//! whoever can write the one can write the other, and needs no more trust. The digests find damage and mix-ups, not attackers.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use wasmtime::component::Component;

use super::artifact::chain;
use super::cache::{engine_digest, loaded};
use super::digest::Digest;
use super::engine::{self, Engine};

/// The last bytes of a program that carries code. Every change of the layout must change the number.
const MAGIC: &[u8; 16] = b"pointsman-with-1";

/// The bytes of the tail: the length of all that was appended, that of the table, the digest of the table, [`MAGIC`].
const TAIL: usize = 8 + 8 + 32 + MAGIC.len();

/// The bytes of an entry of the table: the digest of a component, the place and the length of its code, the length
/// before it was deflated, and the digest of what stands there.
const ENTRY: usize = 32 + 8 + 8 + 8 + 32;

/// The longest table that is read.
const TABLE: u64 = 1 << 20;

/// The most bytes of code of one component.
const CODE: u64 = 1 << 30;

/// The program that runs.
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Lets components be taken from the code that this program carries. It must be the running program itself.
pub fn carried_by(program: PathBuf) {
    // A second call changes nothing.
    let _ = PROGRAM.set(program);
}

/// The reason why code that a program carries is not used. Its text follows `the compiled code in this program is not used:`.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// The file cannot be read.
    #[error("the file cannot be read ({0})")]
    Unreadable(#[from] io::Error),
    /// A digest or a length does not hold.
    #[error("it is damaged ({0})")]
    Damaged(&'static str),
    /// Another version of the program, or an engine with other settings, has made it.
    #[error("it was made by another version of this program")]
    OtherEngine,
    /// Wasmtime refuses it.
    #[error("{0}")]
    Refused(String),
}

/// A component from the code that this program carries; `None` if it has to be compiled, for a reason that the log has.
pub fn component(engine: &Engine, digest: &Digest) -> Option<Component> {
    static CARRIED: OnceLock<Option<Carried>> = OnceLock::new();
    let program = PROGRAM.get()?;
    if engine.reservation().is_some() {
        tracing::debug!("the compiled code in this program is not used: it needs more address space than there is");
        return None;
    }
    let carried = CARRIED.get_or_init(|| {
        Carried::of_this_engine(program).unwrap_or_else(|unfit| {
            tracing::warn!("the compiled code in this program is not used: {unfit}; its components are compiled");
            None
        })
    });
    match carried.as_ref()?.component(engine.wasm(), digest) {
        Ok(component) => {
            component.inspect(|_| tracing::debug!("loaded component {} from this program", digest.short()))
        }
        Err(unfit) => {
            tracing::warn!("the compiled code of component {} in this program is not used: {unfit}", digest.short());
            None
        }
    }
}

/// The number of these components whose code this program carries, whole and made by this engine.
///
/// # Errors
///
/// The reason why what it carries cannot be used.
pub fn number_carried(components: &[&[u8]]) -> Result<usize, Unfit> {
    let Some(program) = PROGRAM.get() else { return Ok(0) };
    let Some(carried) = Carried::of_this_engine(program)? else { return Ok(0) };
    let codes = components.iter().map(|component| carried.code(&Digest::of([*component])));
    codes.collect::<Result<Vec<_>, _>>().map(|codes| codes.iter().flatten().count())
}

/// A file that carries code, and its table.
#[derive(Debug)]
struct Carried {
    file: PathBuf,
    /// The length of all that was appended.
    length: u64,
    /// The digest of the engine that made the code.
    engine: [u8; 32],
    entries: Vec<Entry>,
}

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    component: [u8; 32],
    /// Its place in the file.
    offset: u64,
    length: u64,
    /// The length before it was deflated.
    inflated: u64,
    /// The digest of what stands in the file.
    digest: [u8; 32],
}

impl Carried {
    /// The components that a program carries, if this engine has made them.
    fn of_this_engine(program: &Path) -> Result<Option<Self>, Unfit> {
        let Some(carried) = Self::read(program)? else { return Ok(None) };
        let ours = engine::portable().map_err(Unfit::Refused)?;
        if carried.engine == *engine_digest(&ours).bytes() { Ok(Some(carried)) } else { Err(Unfit::OtherEngine) }
    }

    /// The table of the components that a file carries.
    fn read(path: &Path) -> Result<Option<Self>, Unfit> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        let Some(place) = size.checked_sub(TAIL as u64) else { return Ok(None) };
        let mut tail = [0; TAIL];
        file.read_exact_at(&mut tail, place)?;
        let Some(tail) = tail.strip_suffix(MAGIC) else { return Ok(None) };
        let mut tail = Reader(tail);
        let (length, table, digest) = (tail.number()?, tail.number()?, tail.digest()?);
        let start = place.checked_sub(table).filter(|_| table <= TABLE && length <= size);
        let start = start.ok_or(Unfit::Damaged("the lengths at its end"))?;
        let mut bytes = vec![0; table as usize];
        file.read_exact_at(&mut bytes, start)?;
        if sealed(length, &bytes) != digest {
            return Err(Unfit::Damaged("its table"));
        }
        let mut table = Reader(&bytes);
        let engine = table.digest()?;
        let mut entries = Vec::with_capacity(table.0.len() / ENTRY);
        while !table.0.is_empty() {
            let component = table.digest()?;
            let (offset, length, inflated) = (table.number()?, table.number()?, table.number()?);
            if length > size || inflated > CODE {
                return Err(Unfit::Damaged("the lengths in its table"));
            }
            entries.push(Entry { component, offset, length, inflated, digest: table.digest()? });
        }
        Ok(Some(Self { file: path.to_owned(), length, engine, entries }))
    }

    /// The code of a component, if there is any.
    fn code(&self, component: &Digest) -> Result<Option<Vec<u8>>, Unfit> {
        let Some(entry) = self.entries.iter().find(|entry| entry.component == *component.bytes()) else {
            return Ok(None);
        };
        let mut deflated = vec![0; entry.length as usize];
        File::open(&self.file)?.read_exact_at(&mut deflated, entry.offset)?;
        if *Digest::of([&deflated[..]]).bytes() != entry.digest {
            return Err(Unfit::Damaged("the code"));
        }
        let mut code = Vec::with_capacity(entry.inflated as usize);
        DeflateDecoder::new(&deflated[..]).take(entry.inflated).read_to_end(&mut code)?;
        if code.len() as u64 == entry.inflated { Ok(Some(code)) } else { Err(Unfit::Damaged("the code")) }
    }

    fn component(&self, engine: &wasmtime::Engine, digest: &Digest) -> Result<Option<Component>, Unfit> {
        let code = self.code(digest)?;
        code.map(|code| loaded(engine, &code)).transpose().map_err(Unfit::Refused)
    }
}

/// The digest in the tail.
fn sealed(length: u64, table: &[u8]) -> [u8; 32] {
    *Digest::of([&length.to_le_bytes()[..], table]).bytes()
}

/// Bytes that are still to be read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Unfit> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Unfit::Damaged("its table is cut off"))?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn number(&mut self) -> Result<u64, Unfit> {
        self.take().map(u64::from_le_bytes)
    }

    fn digest(&mut self) -> Result<[u8; 32], Unfit> {
        self.take()
    }
}

/// The reason why code cannot be appended to a program.
#[derive(Debug, thiserror::Error)]
pub enum PrecompileError {
    /// A file cannot be read or written.
    #[error("{}", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// The part that was appended before is damaged, so that the end of the program itself is not known.
    #[error("{} carries code already, of which the end of the program cannot be told; build it anew", .0.display())]
    Carries(PathBuf, #[source] Unfit),
    /// Programs of other systems are signed, and a change would break that.
    #[error("{} is no ELF program, and code can be appended to no other", .0.display())]
    NotElf(PathBuf),
    /// The compiler refuses a component.
    #[error("a component cannot be compiled: {0}")]
    Compile(String),
}

/// Compiles components, and writes `program` with their code at its end to `to`, which may be the same file. What it carried
/// before is replaced. Gives the number of bytes that were appended.
///
/// # Errors
///
/// [`PrecompileError`]; then nothing has been changed.
pub fn precompile(program: &Path, to: &Path, components: &[&[u8]]) -> Result<u64, PrecompileError> {
    let engine = engine::portable().map_err(PrecompileError::Compile)?;
    append(program, to, &engine, components)
}

fn append(program: &Path, to: &Path, engine: &wasmtime::Engine, components: &[&[u8]]) -> Result<u64, PrecompileError> {
    let unreadable = |error| PrecompileError::File(program.to_owned(), error);
    let mut bytes = fs::read(program).map_err(unreadable)?;
    if !bytes.starts_with(b"\x7fELF") {
        return Err(PrecompileError::NotElf(program.to_owned()));
    }
    let before = Carried::read(program).map_err(|unfit| PrecompileError::Carries(program.to_owned(), unfit))?;
    let own = bytes.len() - before.map_or(0, |before| before.length as usize);
    bytes.truncate(own);
    let mut table = engine_digest(engine).bytes().to_vec();
    for component in components {
        let code = engine.precompile_component(component).map_err(|error| PrecompileError::Compile(chain(&error)))?;
        let mut deflater = DeflateEncoder::new(Vec::new(), Compression::best());
        let deflated = deflater.write_all(&code).and_then(|()| deflater.finish()).map_err(unreadable)?;
        table.extend(Digest::of([*component]).bytes());
        for number in [bytes.len(), deflated.len(), code.len()] {
            table.extend((number as u64).to_le_bytes());
        }
        table.extend(Digest::of([&deflated[..]]).bytes());
        bytes.extend(deflated);
    }
    bytes.extend(&table);
    let length = (bytes.len() + TAIL - own) as u64;
    bytes.extend(length.to_le_bytes());
    bytes.extend((table.len() as u64).to_le_bytes());
    bytes.extend(sealed(length, &table));
    bytes.extend(MAGIC);
    replace(program, to, &bytes).map_err(|error| PrecompileError::File(to.to_owned(), error))?;
    Ok(length)
}

/// Writes a file in one step, with the rights of another: a program that runs cannot be written to, but its name can be
/// given to another file.
fn replace(like: &Path, to: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = to.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let temporary = to.with_file_name(format!(".{name}.{}", std::process::id()));
    let write = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.set_permissions(fs::Permissions::from_mode(fs::metadata(like)?.permissions().mode() & 0o777))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, to)
    };
    write().inspect_err(|_| drop(fs::remove_file(&temporary)))
}

#[cfg(test)]
mod tests;
