//! What systemd is told, where it has started the process (`Type=notify`,
//! sd_notify(3)): when clients are answered, and when the end begins.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use tracing::debug;

/// Clients are answered.
pub const READY: &str = "READY=1";

/// The end has begun.
pub const STOPPING: &str = "STOPPING=1";

/// Tells it, if anybody listens.
pub fn tell(state: &str) {
    let Some(place) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&place, state) {
        // Whoever has set it knows better than to end a load balancer for it.
        debug!(target: "server", %error, place = %place.display(), "systemd could not be told");
    }
}

fn send(place: &OsStr, state: &str) -> io::Result<()> {
    let address = match place.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(place)?,
    };
    let socket = UnixDatagram::unbound()?;
    // Its queue may be full; a drain does not wait for that.
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_with_a_path_and_without_one_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("pingora-lab-test-{}", std::process::id());
        let abstracted = SocketAddr::from_abstract_name(&name).unwrap();
        let place = format!("@{name}");
        for (socket, place) in [
            (UnixDatagram::bind(&path).unwrap(), path.as_os_str()),
            (UnixDatagram::bind_addr(&abstracted).unwrap(), OsStr::new(&place)),
        ] {
            send(place, READY).unwrap();
            let mut bytes = [0; 64];
            let read = socket.recv(&mut bytes).unwrap();
            assert_eq!(&bytes[..read], READY.as_bytes());
        }
        assert!(send(OsStr::new("/nowhere/notify"), READY).is_err());
    }
}
