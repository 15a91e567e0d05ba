//! Files replaced whole, or made where there is none: a reader sees the old text
//! or the new one, whatever ends this process meanwhile.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// How the name of a file begins that is not in place yet.
const UNFINISHED: &str = ".pingora-lab-";

/// Whether a file is one that a process was ended over.
pub(super) fn is_unfinished(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes().starts_with(UNFINISHED.as_bytes())
}

/// Puts a file in place of what is there, and returns once it would survive the
/// machine's end. The file's permissions stay; a new file's are the usual ones.
/// A symbolic link stays one: what it points to is replaced.
///
/// # Errors
///
/// Where the file can't be written or put in place; what was there is untouched.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let target = match std::fs::canonicalize(path) {
        Ok(target) => target,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(error),
    };
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mode = std::fs::metadata(&target).map(|file| file.permissions().mode());
    let permissions = Permissions::from_mode(mode.unwrap_or(0o644) & 0o777);
    let mut file =
        tempfile::Builder::new().prefix(UNFINISHED).permissions(permissions).tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(&target).map_err(|error| error.error)?;
    // The new name is the folder's to keep.
    File::open(folder)?.sync_all()
}

/// Whether a file could be put in place of what is there; nothing is changed.
///
/// # Errors
///
/// Why not: there is no such folder, it can't be written to, the file is not to be
/// written to, or something that is no file has the name.
pub(super) fn may_replace(path: &Path) -> io::Result<()> {
    if path.file_name().is_none() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "that is no name of a file"));
    }
    let target = match std::fs::canonicalize(path) {
        Ok(target) if target.is_file() => {
            OpenOptions::new().append(true).open(&target)?;
            target
        }
        Ok(_) => {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "something else is there"));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(error),
    };
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
    Ok(())
}

/// Makes a file where there is none, and returns whether it did: what is there
/// already is left alone.
///
/// # Errors
///
/// Where the file can't be written; no part of it is left then.
pub(super) fn create(path: &Path, content: &[u8], mode: u32) -> io::Result<bool> {
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(mode).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(error),
    };
    file.write_all(content).inspect_err(|_| {
        let _ = std::fs::remove_file(path);
    })?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_replaced_with_its_permissions_and_through_links() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("a"), folder.path().join("b"));
        replace(&path, b"one").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        symlink(&path, &link).unwrap();
        replace(&link, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left over");
    }

    #[test]
    fn a_file_that_exists_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        assert!(create(&path, b"one", 0o644).unwrap());
        assert!(!create(&path, b"two", 0o644).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
    }
}
