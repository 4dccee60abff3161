//! A connection that is given up when the other side does not read, and on which even what is no
//! HTTP is refused with a problem document.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::problem::Problem;

/// A stream whose writes fail when nothing could be written for a while.
#[derive(Debug)]
pub(crate) struct Impatient<S> {
    stream: S,
    patience: Duration,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
    /// What is being written in place of a bare refusal.
    instead: Option<Instead>,
}

/// An answer that is written in place of another.
#[derive(Debug)]
struct Instead {
    answer: Vec<u8>,
    written: usize,
    replaced: usize,
}

impl<S: AsyncWrite + Unpin> Impatient<S> {
    pub(crate) fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, waiting: None, instead: None }
    }

    /// Does a write; one that has waited too long fails.
    fn within<T>(
        &mut self,
        context: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(written) = write(Pin::new(&mut self.stream), context) {
            self.waiting = None;
            return Poll::Ready(written);
        }
        let patience = self.patience;
        ready!(self.waiting.get_or_insert_with(|| Box::pin(sleep(patience))).as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.instead.is_none() {
            self.instead = with_problem(bytes);
        }
        let Some(mut instead) = self.instead.take() else {
            return self.within(context, |stream, context| stream.poll_write(context, bytes));
        };
        while instead.written < instead.answer.len() {
            let rest = &instead.answer[instead.written..];
            match self.within(context, |stream, context| stream.poll_write(context, rest)) {
                Poll::Ready(Ok(written)) if written > 0 => instead.written += written,
                Poll::Ready(Ok(_)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                Poll::Pending => {
                    self.instead = Some(instead);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(instead.replaced))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut parts = bytes.iter().filter(|part| !part.is_empty());
        match (parts.next(), parts.next()) {
            (Some(only), None) => self.poll_write(context, only),
            _ => self.within(context, |stream, context| stream.poll_write_vectored(context, bytes)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.within(context, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.within(context, AsyncWrite::poll_shutdown)
    }
}

/// The refusal with a problem document, in place of one that hyper wrote by itself.
///
/// What cannot be parsed as HTTP never reaches the routes; hyper answers it with an empty body and
/// offers no way to say more. Behind [`guard`](crate::guard) no other error has an empty body.
fn with_problem(bytes: &[u8]) -> Option<Instead> {
    const LINE: &[u8] = b"HTTP/1.1 4";
    if !bytes.starts_with(LINE) || !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let (line, rest) = std::str::from_utf8(bytes).ok()?.split_once("\r\n")?;
    rest.strip_prefix("connection: close\r\ncontent-length: 0\r\n")?;
    let status = line.split(' ').nth(1)?.parse().ok()?;
    let problem = Problem::of_status(status).detail("This is no HTTP request, or its head is too large.");
    let document = problem.document(None);
    let head = format!(
        "{line}\r\nconnection: close\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\r\n",
        document.len()
    );
    Some(Instead { answer: [head.as_bytes(), &document].concat(), written: 0, replaced: bytes.len() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::Impatient;

    #[tokio::test(start_paused = true)]
    async fn a_write_that_nobody_reads_fails_after_a_while() {
        let (near, _far) = duplex(8);
        let mut stream = Impatient::new(near, Duration::from_secs(30));
        let written = tokio::time::timeout(Duration::from_secs(31), stream.write_all(&[0; 100])).await;
        assert_eq!(written.expect("it gives up").unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_waited_for_as_long_as_it_reads() {
        let (near, mut far) = duplex(8);
        let mut stream = Impatient::new(near, Duration::from_secs(30));
        let read = async {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_secs(29)).await;
                far.read_exact(&mut [0; 10]).await.unwrap();
            }
        };
        let both = async { tokio::join!(stream.write_all(&[0; 100]), read).0 };
        let written = tokio::time::timeout(Duration::from_secs(600), both).await;
        assert!(written.is_ok_and(|written| written.is_ok()));
    }
}
