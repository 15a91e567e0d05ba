//! What can be wrong with a workspace, in words.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use crate::language::Language;

/// Why a workspace can't be made or changed.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// The folder holds a Cargo project that is none of ours.
    #[error("{} belongs to another Cargo project", .0.display())]
    OtherProject(PathBuf),
    /// A file stands where a folder is needed.
    #[error("{} is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// The workspace's `Cargo.toml` can't be added to.
    #[error("{path} cannot be understood: {reason}", path = path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, with its place.
        reason: String,
    },
    /// The system refused.
    #[error("{path}: {cause}", path = path.display())]
    Io {
        /// What was to be read or written.
        path: PathBuf,
        /// Why it was not.
        cause: io::Error,
    },
}

impl WorkspaceError {
    /// The state, the reason, the next step.
    pub fn explain(&self, language: Language) -> String {
        match (self, language) {
            (Self::OtherProject(path), Language::En) => format!(
                "no workspace is made here: {} belongs to another Cargo project; name a folder of \
                 its own, such as my-lab",
                path.display()
            ),
            (Self::OtherProject(path), Language::Zh) => format!(
                "没有在此处新建学习目录：{} 属于另一个 Cargo 项目；请另选一个目录，例如 my-lab",
                path.display()
            ),
            (Self::NotAFolder(path), Language::En) => format!(
                "no workspace can be made here: {} is a file, where a folder is needed; choose \
                 another name, or move that file",
                path.display()
            ),
            (Self::NotAFolder(path), Language::Zh) => format!(
                "无法在此处新建学习目录：{} 是文件，而这里需要目录；请换一个名字，或先移走该文件",
                path.display()
            ),
            (Self::Manifest { path, reason }, Language::En) => format!(
                "new stages cannot be added to {}: {reason}; mend that file, then try again",
                path.display()
            ),
            (Self::Manifest { path, reason }, Language::Zh) => {
                format!("无法把新阶段加入 {}：{reason}；请先改好该文件再试", path.display())
            }
            (Self::Io { path, cause }, Language::En) => {
                format!("{} cannot be written or read: {cause}{}", path.display(), next_en(cause))
            }
            (Self::Io { path, cause }, Language::Zh) => {
                format!("无法读写 {}：{cause}{}", path.display(), next_zh(cause))
            }
        }
    }
}

fn next_en(cause: &io::Error) -> &'static str {
    match cause.kind() {
        ErrorKind::PermissionDenied => "; choose a folder of your own, or ask for the right to it",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "; make room (the first build needs about 1 GB), then run the command again: it adds \
             what is missing"
        }
        ErrorKind::ReadOnlyFilesystem => "; choose a folder on a disk that can be written",
        _ => "",
    }
}

fn next_zh(cause: &io::Error) -> &'static str {
    match cause.kind() {
        ErrorKind::PermissionDenied => "；请换到自己的目录，或取得该目录的权限",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "；请先腾出空间（首次编译约需 1 GB），再执行一次同样的命令，缺少的部分会补上"
        }
        ErrorKind::ReadOnlyFilesystem => "；请换到可写的磁盘上",
        _ => "",
    }
}
