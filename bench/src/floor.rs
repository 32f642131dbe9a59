//! The floor: what one small write to a loopback socket costs its thread, while another thread reads. Everything that
//! sends one thing to one client pays at least this.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use crate::cores;

const WRITES: usize = 20_000;
/// Until the reader has read and sleeps again, as clients do.
const PAUSE: Duration = Duration::from_micros(50);

/// The median time of one write of 64 bytes, on the subjects' core, with the reader on the load generator's.
pub fn measure() -> Result<Duration> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut reader = TcpStream::connect(listener.local_addr()?)?;
    let (mut writer, _) = listener.accept()?;
    writer.set_nodelay(true)?;
    let reading = thread::spawn(move || -> Result<()> {
        cores::stay_on(cores::LOAD)?;
        let mut buffer = [0; 64];
        for _ in 0..WRITES {
            reader.read_exact(&mut buffer)?;
        }
        Ok(())
    });
    let writing = thread::spawn(move || -> Result<Duration> {
        cores::stay_on(cores::SUBJECT)?;
        let mut times = Vec::with_capacity(WRITES);
        for _ in 0..WRITES {
            let begin = Instant::now();
            writer.write_all(&[0; 64])?;
            times.push(begin.elapsed());
            while begin.elapsed() < PAUSE {
                std::hint::spin_loop();
            }
        }
        times.sort_unstable();
        Ok(times[WRITES / 2])
    });
    let join = |_| anyhow!("a thread of the floor panicked");
    let floor = writing.join().map_err(join)?.context("the floor's writer")?;
    reading.join().map_err(join)?.context("the floor's reader")?;
    Ok(floor)
}
