//! An SSH server within the test that hangs up, without a word, on who gives it a password.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use russh::MethodKind;
use russh::server::{Auth, Handler, Response};

use super::scripted::Host;

pub(crate) struct HangingUp {
    pub(crate) host: Host,
    given: Arc<AtomicUsize>,
}

impl HangingUp {
    /// One that takes passwords by this method.
    pub(crate) fn start(method: MethodKind) -> Self {
        let given = Arc::default();
        let host = Host::start(&[method], Login { given: Arc::clone(&given) });
        HangingUp { host, given }
    }

    /// How often it was given a password.
    pub(crate) fn given(&self) -> usize {
        self.given.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct Login {
    given: Arc<AtomicUsize>,
}

impl Login {
    fn hang_up(&self) -> Result<Auth, russh::Error> {
        self.given.fetch_add(1, Ordering::Relaxed);
        Err(russh::Error::Disconnect)
    }
}

impl Handler for Login {
    type Error = russh::Error;

    async fn auth_password(&mut self, _user: &str, _password: &str) -> Result<Auth, Self::Error> {
        self.hang_up()
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _user: &str,
        _submethods: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        if response.is_some() {
            return self.hang_up();
        }
        let prompts = Cow::Borrowed(&[(Cow::Borrowed("Password:"), false)][..]);
        Ok(Auth::Partial { name: Cow::Borrowed(""), instructions: Cow::Borrowed(""), prompts })
    }
}
