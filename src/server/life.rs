//! One load balancer from its start to its end, once its sockets are bound.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::{mpsc, watch};
use tracing::info;

use super::accept::accept;
use super::admin::{Admin, Call, Desk, Gate, Running};
use super::connections::Connections;
use super::departure::Departure;
use super::drain::drain;
use super::file_watch::FileWatches;
use super::operator::Operator;
use super::signals::{Asked, End, Signals};
use super::upgrade::Giver;
use super::{Bound, Started, listener, systemd};
use crate::proxy::access_log::AccessLog;
use crate::proxy::witness::Witness;
use crate::proxy::{InFlight, Metrics, Proxy};

/// How many may wait to ask for a reload; others wait to be asked.
const CALLS: usize = 16;

/// How often it is looked whether everybody is still at work.
const ROUNDS: Duration = Duration::from_secs(5);

/// Why a load balancer ends.
enum Ending {
    Asked(End),
    /// Another process, of this number, has taken over.
    TakenOver(u32),
}

/// Answers clients until a signal, another process or a fault ends it.
pub(super) async fn serve(
    bound: Bound,
    access_log: Option<AccessLog>,
    started: impl FnOnce(&Started),
) -> anyhow::Result<()> {
    let Bound { config, mut origin, mut signals, sockets, entrances, admin, taker, clients } =
        bound;
    let drain_limit = config.shutdown.drain;
    let mut watches = origin.take_watches();
    let (in_flight, connections) = (InFlight::default(), Connections::new(clients));
    // Nobody else could show what is counted.
    let counts = config.metrics.enabled && admin.is_some();
    let metrics = if counts { Metrics::on() } else { Metrics::off() };
    let witness = Witness::new(access_log.clone(), metrics.clone());
    let (calls, mut called) = mpsc::channel(CALLS);
    let desk = Desk::new(metrics.clone(), in_flight.clone(), connections.clone(), calls);
    let desk = Arc::new(desk);
    let gate = config.admin.as_ref().map(|admin| Arc::new(Gate::new(admin)));
    let admin_address = admin.as_ref().and_then(|socket| socket.addresses().next());
    // What the next process will be sent.
    let to_give = match &config.upgrade.socket {
        Some(path) => {
            let admin = admin.as_ref().map(listener::Sockets::copies).transpose()?;
            let all = sockets.copies()?.into_iter().chain(admin.into_iter().flatten());
            Some((path.clone(), all.collect::<Vec<_>>()))
        }
        None => None,
    };
    let mut admin = admin.zip(gate.clone());
    let mut start_admin = || {
        let admin = admin.take().map(|(socket, gate)| {
            Admin::start(socket, gate, Arc::clone(&desk)).context("cannot start the admin listener")
        });
        admin.transpose()
    };
    // It answers from now until the process has drained. Where another process still
    // answers at its address, the two would contradict each other.
    let mut admin_listener = if taker.is_none() { start_admin()? } else { None };
    let operator = tokio::select! {
        operator = Operator::begin(config.clone(), origin, &entrances, metrics, gate) => operator?,
        _ = signals.end() => return Ok(()),
    };

    let (shutdown, shutting_down) = watch::channel(false);
    let proxy = Proxy::new(Arc::clone(operator.current()), in_flight.clone(), witness);
    if taker.is_some() {
        admin_listener = start_admin()?;
    }
    let giver = to_give.map(|(path, sockets)| Giver::wait_at(&path, sockets));
    let mut giver = giver.transpose()?;
    let departure = Departure::new();
    let listeners: Vec<_> = sockets.addresses().collect();
    let tls = config.listeners.iter().map(|listener| listener.tls.is_some());
    let listening: Vec<_> = listeners.iter().copied().zip(tls).collect();
    // Before the first client is answered: whoever was may look at what was counted.
    desk.runs(Running {
        operator: Arc::clone(&operator),
        listeners: listening.clone(),
        access_log,
    });
    let doors = sockets.into_std().into_iter().zip(entrances).collect();
    let accepting = accept(&config, proxy, &connections, doors, &departure, &shutting_down)?;
    let mut services = tokio::spawn(accepting);
    let pools = operator
        .current()
        .load()
        .pools()
        .iter()
        .map(|p| (p.name().to_owned(), p.state()))
        .collect();
    let access_log = config.access_log.enabled.then(|| config.access_log.to.clone());
    started(&Started { listeners: listening, admin: admin_address, pools, access_log });
    for address in &listeners {
        info!(target: "server", %address, "listening");
    }
    if let Some(address) = admin_address {
        info!(target: "admin", %address, "looked after");
    }
    // From now on, the process that ran before knows that it is not needed.
    match taker {
        Some(taker) => {
            // Before the other ends, which systemd has started.
            systemd::tell(&format!("{}\nMAINPID={}", systemd::READY, std::process::id()));
            taker.accepting();
        }
        None => systemd::tell(systemd::READY),
    }

    let ending = tokio::select! {
        end = answer_calls(&operator, &mut watches, &mut signals, &mut called) => Ending::Asked(end),
        process = taken_over(giver.as_mut()) => Ending::TakenOver(process),
        // None of them ends before the shutdown but by a panic, and a load balancer
        // that accepts nobody, or checks nothing, must not look alive.
        _ = &mut services => anyhow::bail!("the listeners ended by themselves; see the log"),
        () = lost_care(&operator) => anyhow::bail!("the health checks ended by themselves; see the log"),
    };
    // Who still waits for a reload is told that there will be none.
    drop(called);
    // It holds the listeners open.
    drop(giver);
    if let Ending::TakenOver(process) = ending {
        info!(target: "server", process, "another process has taken over");
        // Both would answer in turn.
        drop(admin_listener);
        departure.be_patient(config.upgrade.idle.get());
    } else {
        systemd::tell(systemd::STOPPING);
    }
    match ending {
        Ending::Asked(End::Drained) | Ending::TakenOver(_) => {
            desk.drains();
            in_flight.leave();
            // An error would mean that nobody listens, which is as well.
            let _ = shutdown.send(true);
            drain(drain_limit, services, in_flight, connections, signals).await;
        }
        Ending::Asked(End::Now) => {
            info!(target: "server", "interrupted, stopping");
            // They would complain of a channel that closes without a word.
            let _ = shutdown.send(true);
        }
    }
    Ok(())
}

/// Waits until another process has taken over; for ever, if none can.
async fn taken_over(giver: Option<&mut Giver>) -> u32 {
    match giver {
        Some(giver) => giver.taken_over().await,
        None => std::future::pending().await,
    }
}

/// Reloads when it is asked to, or when a file changes, until a signal asks to
/// end.
async fn answer_calls(
    operator: &Operator,
    watches: &mut FileWatches,
    signals: &mut Signals,
    called: &mut mpsc::Receiver<Call>,
) -> End {
    loop {
        let mut caller = None;
        tokio::select! {
            asked = signals.next() => if let Asked::End(end) = asked { return end },
            () = watches.changed() => {}
            Some(call) = called.recv() => caller = Some(call),
        }
        // What is wrong is in the log; the old configuration stays.
        let result = operator.reload().await;
        if let Some(caller) = caller {
            // Whoever asked may have gone.
            let _ = caller.send(result);
        }
        if operator.watch(watches).await {
            // They may have changed after they were read and before they were watched.
            let _ = operator.reload().await;
        }
    }
}

/// Ends when the care for a pool has ended by itself.
async fn lost_care(operator: &Operator) {
    while !operator.has_lost_care() {
        tokio::time::sleep(ROUNDS).await;
    }
}
