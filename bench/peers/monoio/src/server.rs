//! Accepts clients and runs a task for each of them, on whichever driver the runtime has. `main`
//! builds the runtime.

use crate::arguments::Arguments;
use crate::connection::{Connection, READ_BUFFER_BYTES, Surroundings};
use crate::handshake;
use crate::topic::Topic;
use monoio::net::{ListenerOpts, TcpListener, TcpStream};
use std::io;
use std::rc::Rc;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Pins the calling thread, if that is asked for.
pub(crate) fn pin(arguments: &Arguments) -> io::Result<()> {
    if let Some(id) = arguments.pin
        && !core_affinity::set_for_current(core_affinity::CoreId { id })
    {
        return Err(io::Error::other(format!("cannot run on CPU {id}")));
    }
    Ok(())
}

/// Until the process is ended.
pub(crate) async fn accept(arguments: Arguments) -> io::Result<()> {
    let options = ListenerOpts::new().reuse_port(false).backlog(BACKLOG);
    let listener = TcpListener::bind_with_config(arguments.listen, &options)?;
    println!(
        "monoio peer listens on {}, one thread",
        listener.local_addr()?
    );
    let surroundings = Surroundings {
        topic: Topic::default(),
        flush: arguments.flush,
        buffers: arguments.buffers,
        spare: Rc::default(),
    };
    loop {
        // An accept fails for the connection at hand or for want of descriptors; either way the
        // next one may succeed.
        if let Ok((stream, _)) = listener.accept().await {
            monoio::spawn(serve(stream, surroundings.clone()));
        }
    }
}

async fn serve(mut stream: TcpStream, surroundings: Surroundings) {
    // Only fails on a socket that is already gone; the handshake then says so.
    let _ = stream.set_nodelay(true);
    if let Some(bytes) = handshake::accept(&mut stream, READ_BUFFER_BYTES).await {
        // A peer that breaks the protocol or vanishes ends its own task only.
        let _ = Connection::new(stream, bytes, surroundings).run().await;
    }
}
