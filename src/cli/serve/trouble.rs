//! What `serve` says where it cannot start.

use std::io;
use std::net::SocketAddr;

use crate::cli::invocation;
use crate::language::Language;
use crate::proxy::Unresolved;
use crate::server::BindError;

/// What is wrong with a listener, and what to do.
pub(super) fn cannot_listen(error: &BindError, language: Language) -> String {
    let BindError { address, cause, admin } = error;
    let flag = if *admin { "--admin" } else { "--listen" };
    let (ip, port) = (address.ip(), address.port());
    let elsewhere = match address {
        SocketAddr::V4(_) => format!("{flag} {ip}:PORT"),
        SocketAddr::V6(_) => format!("{flag} '[{ip}]:PORT'"),
    };
    let why = match (cause.kind(), language) {
        (io::ErrorKind::AddrInUse, Language::En) => format!(
            "port {port} is taken by another process; stop it, or choose another with {elsewhere}"
        ),
        (io::ErrorKind::AddrInUse, Language::Zh) => {
            format!("端口 {port} 已被其他进程占用；请结束该进程，或用 {elsewhere} 换一个端口")
        }
        (io::ErrorKind::PermissionDenied, Language::En) => {
            format!("this process may not use port {port} ({cause}); choose one from 1024 on")
        }
        (io::ErrorKind::PermissionDenied, Language::Zh) => {
            format!("当前进程无权使用端口 {port}（{cause}）；请换用 1024 及以上的端口")
        }
        (io::ErrorKind::AddrNotAvailable, Language::En) => {
            format!("this machine has no address {ip}; use one that it has")
        }
        (io::ErrorKind::AddrNotAvailable, Language::Zh) => {
            format!("本机没有地址 {ip}；请换用本机的地址")
        }
        (_, _) => cause.to_string(),
    };
    match language {
        Language::En => format!("cannot listen on {address}: {why}"),
        Language::Zh => format!("无法监听 {address}：{why}"),
    }
}

/// Which backend has no address, and what to do.
pub(super) fn cannot_resolve(error: &Unresolved, public: bool, language: Language) -> String {
    let Unresolved { backend, address, reason } = error;
    let serve = format!("{} serve", invocation());
    match (language, public) {
        (Language::En, false) => format!(
            "backend \"{backend}\" ({address}) does not resolve: {reason}; \
             check the name, or give an IP address"
        ),
        (Language::En, true) => format!(
            "backend \"{backend}\" ({address}) does not resolve: {reason}; \
             without --public, `{serve}` needs no internet"
        ),
        (Language::Zh, false) => format!(
            "后端 {backend}（{address}）的域名无法解析：{reason}；请检查域名，或直接填写 IP 地址"
        ),
        (Language::Zh, true) => format!(
            "后端 {backend}（{address}）的域名无法解析：{reason}；不加 --public 时，`{serve}` 无需联网"
        ),
    }
}
