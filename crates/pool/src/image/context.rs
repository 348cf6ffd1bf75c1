use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::claude::{ClaudeBinary, require_executable};
use super::error::ImageError;

const DOCKERFILE: &str = include_str!("../../../../docker/Dockerfile");
const AWARENESS: &str = include_str!("../../../../docker/AWARENESS.md");

/// Everything that goes to the engine for one build.
#[derive(Debug, Clone)]
pub struct BuildContext {
    files: Vec<ContextFile>,
}

/// One file of the context.
#[derive(Debug, Clone)]
pub struct ContextFile {
    /// Path inside the context, with `/` between its parts.
    pub path: String,
    /// Permission bits; owner and group are root.
    pub mode: u32,
    /// Where the bytes come from.
    pub source: Source,
}

/// Where a file's bytes come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// Held here; small files only.
    Bytes(Cow<'static, [u8]>),
    /// Read from this host when it is needed: the claude binary has about 380 MB.
    File(PathBuf),
}

/// A file of the context as far as the hash is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDigest {
    /// Path inside the context.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// SHA-256 of the content.
    pub content: [u8; 32],
}

/// SHA-256 over everything that a build depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextHash(String);

impl ContextHash {
    /// 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, for a tag.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for ContextHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The hash of a build: same base and same files, in any order, give the same hash.
///
/// `base_id` is the base image's id, not its name, which may move.
pub fn context_hash(base_id: &str, files: &[FileDigest]) -> ContextHash {
    let mut sorted: Vec<&FileDigest> = files.iter().collect();
    sorted.sort_by(|a, b| a.path.cmp(&b.path));
    let mut hash = Sha256::new();
    // Lengths first, so that no two lists of fields run together the same way.
    let mut field = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    field(base_id.as_bytes());
    for file in sorted {
        field(file.path.as_bytes());
        field(&file.mode.to_be_bytes());
        field(&file.content);
    }
    ContextHash(hex::encode(hash.finalize()))
}

impl BuildContext {
    /// The context for these programs and certificates, checked but not yet read.
    ///
    /// # Errors
    /// A file that is missing, not executable, or holds no certificate.
    pub fn assemble(
        claude: &ClaudeBinary,
        wrapper: &Path,
        ca_certificates: &[PathBuf],
    ) -> Result<Self, ImageError> {
        require_executable("wrapper binary", wrapper)?;
        let embedded = |path: &str, text: &'static str| ContextFile {
            path: path.to_owned(),
            mode: 0o644,
            source: Source::Bytes(Cow::Borrowed(text.as_bytes())),
        };
        let program = |path: &str, from: &Path| ContextFile {
            path: path.to_owned(),
            mode: 0o755,
            source: Source::File(from.to_owned()),
        };
        let mut files = vec![
            embedded("Dockerfile", DOCKERFILE),
            embedded("AWARENESS.md", AWARENESS),
            program("ccpool-wrapper", wrapper),
            program("claude", claude.path()),
        ];
        for (index, path) in ca_certificates.iter().enumerate() {
            files.push(certificate(index, path)?);
        }
        Ok(Self { files })
    }

    /// The files, in the order in which they are sent.
    pub fn files(&self) -> &[ContextFile] {
        &self.files
    }

    /// Bytes to send, without the archive's own headers.
    ///
    /// # Errors
    /// A file that has gone or cannot be read.
    pub fn size(&self) -> Result<u64, ImageError> {
        self.files.iter().map(ContextFile::size).sum()
    }

    /// Reads every file once for its digest. Blocks: about a second for the claude binary
    /// in an optimised build.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn digests(&self) -> Result<Vec<FileDigest>, ImageError> {
        self.files
            .iter()
            .map(|file| {
                let content = file.digest().map_err(|source| file.unreadable(source))?;
                Ok(FileDigest {
                    path: file.path.clone(),
                    mode: file.mode,
                    content,
                })
            })
            .collect()
    }

    /// Writes the context as a tar archive. Blocks; files are copied through, never held.
    ///
    /// # Errors
    /// Those of reading the files and of `to`.
    pub fn write_tar(&self, to: impl Write) -> io::Result<()> {
        let mut tar = tar::Builder::new(to);
        // The Dockerfile copies this directory whether or not it holds anything.
        let mut ca = header(0o755, 0);
        ca.set_entry_type(tar::EntryType::Directory);
        tar.append_data(&mut ca, "ca/", io::empty())?;
        for file in &self.files {
            match &file.source {
                Source::Bytes(bytes) => {
                    let mut header = header(file.mode, bytes.len() as u64);
                    tar.append_data(&mut header, &file.path, bytes.as_ref())?;
                }
                Source::File(path) => {
                    let from = File::open(path)?;
                    let size = from.metadata()?.len();
                    let mut header = header(file.mode, size);
                    // A file that grows meanwhile must not spoil what follows it.
                    tar.append_data(&mut header, &file.path, from.take(size))?;
                }
            }
        }
        tar.finish()
    }
}

impl ContextFile {
    fn size(&self) -> Result<u64, ImageError> {
        match &self.source {
            Source::Bytes(bytes) => Ok(bytes.len() as u64),
            Source::File(path) => match std::fs::metadata(path) {
                Ok(metadata) => Ok(metadata.len()),
                Err(source) => Err(self.unreadable(source)),
            },
        }
    }

    fn digest(&self) -> io::Result<[u8; 32]> {
        let mut hash = Sha256::new();
        match &self.source {
            Source::Bytes(bytes) => hash.update(bytes),
            Source::File(path) => {
                let mut from = File::open(path)?;
                let mut chunk = vec![0; 1 << 20];
                loop {
                    match from.read(&mut chunk)? {
                        0 => break,
                        count => hash.update(&chunk[..count]),
                    }
                }
            }
        }
        Ok(hash.finalize().into())
    }

    fn unreadable(&self, source: io::Error) -> ImageError {
        let path = match &self.source {
            Source::Bytes(_) => PathBuf::from(&self.path),
            Source::File(path) => path.clone(),
        };
        ImageError::Unreadable {
            what: "file of the build context",
            path,
            source,
        }
    }
}

/// No times and no owner: the engine's layer cache compares headers too.
fn header(mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// Only files that end in `.crt` are taken up in the image; the number keeps two
/// files of the same name apart.
fn certificate(index: usize, path: &Path) -> Result<ContextFile, ImageError> {
    let bytes = std::fs::read(path).map_err(|source| ImageError::Unreadable {
        what: "CA certificate",
        path: path.to_owned(),
        source,
    })?;
    let marker = b"-----BEGIN CERTIFICATE-----";
    if !bytes.windows(marker.len()).any(|window| window == marker) {
        return Err(ImageError::NotACertificate {
            path: path.to_owned(),
        });
    }
    let stem: String = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(60)
        .collect();
    Ok(ContextFile {
        path: format!("ca/{index:02}-{stem}.crt"),
        mode: 0o644,
        source: Source::Bytes(Cow::Owned(bytes)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(path: &str, mode: u32, content: u8) -> FileDigest {
        FileDigest {
            path: path.into(),
            mode,
            content: [content; 32],
        }
    }

    #[test]
    fn the_hash_depends_on_everything_but_the_order() {
        let (a, b) = (digest("a", 0o644, 1), digest("b", 0o755, 2));
        let hash = context_hash("sha256:base", &[a.clone(), b.clone()]);
        assert_eq!(hash, context_hash("sha256:base", &[b.clone(), a.clone()]));
        assert_eq!(hash.as_str().len(), 64);
        assert_eq!(hash.short().len(), 12);
        for other in [
            context_hash("sha256:other", &[a.clone(), b.clone()]),
            context_hash("sha256:base", std::slice::from_ref(&a)),
            context_hash("sha256:base", &[digest("a", 0o755, 1), b.clone()]),
            context_hash("sha256:base", &[digest("a", 0o644, 3), b.clone()]),
            context_hash("sha256:base", &[digest("c", 0o644, 1), b]),
        ] {
            assert_ne!(hash, other);
        }
    }

    #[test]
    fn the_archive_holds_every_file_with_its_mode_and_nothing_of_this_host() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        std::fs::write(&program, b"binary").unwrap();
        let context = BuildContext {
            files: vec![
                ContextFile {
                    path: "Dockerfile".into(),
                    mode: 0o644,
                    source: Source::Bytes(Cow::Borrowed(b"FROM x\n")),
                },
                ContextFile {
                    path: "claude".into(),
                    mode: 0o755,
                    source: Source::File(program),
                },
            ],
        };
        let mut bytes = Vec::new();
        context.write_tar(&mut bytes).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entries: Vec<(String, u32, u64, String)> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let path = entry.path().unwrap().display().to_string();
                let (mode, mtime) = (
                    entry.header().mode().unwrap(),
                    entry.header().mtime().unwrap(),
                );
                let mut content = String::new();
                entry.read_to_string(&mut content).unwrap();
                (path, mode, mtime, content)
            })
            .collect();
        assert_eq!(
            entries,
            [
                ("ca/".into(), 0o755, 0, String::new()),
                ("Dockerfile".into(), 0o644, 0, "FROM x\n".into()),
                ("claude".into(), 0o755, 0, "binary".into()),
            ]
        );
        assert_eq!(context.size().unwrap(), 13);
    }

    #[test]
    fn a_certificate_gets_a_name_that_the_image_takes_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("my proxy.pem");
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nMII\n").unwrap();
        assert_eq!(certificate(3, &path).unwrap().path, "ca/03-my-proxy.crt");

        std::fs::write(&path, [0x30, 0x82]).unwrap();
        assert!(matches!(
            certificate(0, &path),
            Err(ImageError::NotACertificate { .. })
        ));
    }

    #[test]
    fn the_dockerfile_copies_what_the_context_holds() {
        for file in [
            "COPY claude ",
            "COPY ccpool-wrapper ",
            "COPY AWARENESS.md ",
            "COPY ca/ ",
        ] {
            assert!(DOCKERFILE.contains(file), "{file}");
        }
    }
}
