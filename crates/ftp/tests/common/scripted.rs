//! A server of FTP that goes wrong where a test says so: what a real one cannot be made to do.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use mlflow_artifacts_core::{SharedStore, StoreConfig};

/// What is done instead of what was asked for.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Only this is answered.
    Say(String),
    /// The same, and the connection ends.
    Leave(String),
    /// Nothing is answered any more.
    Silence,
    /// So many bytes pass over the data connection, then it ends and this is answered; nothing is the end of the control
    /// connection.
    Break(usize, &'static str),
    /// All is done, and this is answered when all has passed.
    End(&'static str),
    /// All is done, but that is never said.
    Withhold,
    /// So many bytes pass, or for an upload none, and then nothing more happens.
    Stall(usize),
    /// This passes over the data connection, so many times.
    Send(Vec<u8>, usize),
    /// It is done after a while.
    Late(Duration),
    /// It is done, but instead of saying so the connection ends.
    Lose,
}

/// The server, with `root` as its only directory at first.
pub(crate) struct Scripted {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// What is to go wrong: the command (`""` is the connection itself), how often, and how.
    faults: Mutex<Vec<(&'static str, usize, Act)>>,
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    directories: Mutex<BTreeSet<String>>,
    commands: Mutex<Vec<String>>,
    /// How many sessions there are, and the most there were.
    sessions: Mutex<(usize, usize)>,
    /// RNTO replaces no file, and STOR writes to none that is there.
    keeps_files: AtomicBool,
}

impl Scripted {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        lock(&state.directories).insert("/root".to_owned());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || state.session(stream));
            }
        });
        Scripted { address, state }
    }

    /// Lets the next so many of a command go wrong.
    pub(crate) fn on(&self, verb: &'static str, times: usize, act: Act) -> &Self {
        lock(&self.state.faults).push((verb, times, act));
        self
    }

    /// Lets it replace no file and write to none that is there.
    pub(crate) fn keep_files(&self) -> &Self {
        self.state.keeps_files.store(true, Ordering::Relaxed);
        self
    }

    pub(crate) fn uri(&self) -> String {
        format!("ftp://{}/root", self.address)
    }

    /// A store whose operations are repeated so often, with short times.
    pub(crate) fn store(&self, retries: &str) -> SharedStore {
        self.store_with(StoreConfig::new().with("retries", retries))
    }

    pub(crate) fn store_with(&self, config: StoreConfig) -> SharedStore {
        super::open(&self.uri(), &config).unwrap()
    }

    pub(crate) fn put(&self, name: &str, content: &[u8]) {
        lock(&self.state.files).insert(format!("/root/{name}"), content.to_vec());
    }

    pub(crate) fn content(&self, name: &str) -> Option<Vec<u8>> {
        lock(&self.state.files).get(&format!("/root/{name}")).cloned()
    }

    /// The names of all files, with the directory they are in.
    pub(crate) fn names(&self) -> Vec<String> {
        lock(&self.state.files).keys().cloned().collect()
    }

    /// All commands that were read.
    pub(crate) fn commands(&self) -> Vec<String> {
        lock(&self.state.commands).clone()
    }

    /// How often a command was read, as far as `start` tells it.
    pub(crate) fn count(&self, start: &str) -> usize {
        self.commands().iter().filter(|command| command.starts_with(start)).count()
    }

    /// The most sessions there were at once.
    pub(crate) fn most_sessions(&self) -> usize {
        lock(&self.state.sessions).1
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

/// How a command ended.
enum Next {
    Command,
    Leave,
}

struct Session<'a> {
    state: &'a State,
    control: BufReader<TcpStream>,
    passive: Option<TcpListener>,
    restart: usize,
    renamed: String,
    is_mute: bool,
}

impl State {
    fn session(&self, stream: TcpStream) {
        {
            let mut sessions = lock(&self.sessions);
            sessions.0 += 1;
            sessions.1 = sessions.1.max(sessions.0);
        }
        let mut session = Session {
            state: self,
            control: BufReader::new(stream),
            passive: None,
            restart: 0,
            renamed: String::new(),
            is_mute: false,
        };
        // It ends with the client, whenever that goes.
        let _ = session.run();
        lock(&self.sessions).0 -= 1;
    }

    fn fault(&self, verb: &str) -> Option<Act> {
        let mut faults = lock(&self.faults);
        let index = faults.iter().position(|(command, times, _)| *command == verb && *times > 0)?;
        faults[index].1 -= 1;
        Some(faults[index].2.clone())
    }

    /// The lines of MLSD.
    fn listing(&self, directory: &str) -> Vec<u8> {
        let within = |path: &str| {
            path.strip_prefix(directory).and_then(|rest| rest.strip_prefix('/')).map(str::to_owned)
        };
        let mut lines = Vec::new();
        for (path, content) in &*lock(&self.files) {
            if let Some(name) = within(path).filter(|name| !name.contains('/')) {
                let size = content.len();
                lines.extend(format!("type=file;size={size};modify=20260102030405; {name}\r\n").bytes());
            }
        }
        for path in &*lock(&self.directories) {
            if let Some(name) = within(path).filter(|name| !name.contains('/')) {
                lines.extend(format!("type=dir;modify=20260102030405; {name}\r\n").bytes());
            }
        }
        lines
    }
}

impl Session<'_> {
    fn run(&mut self) -> io::Result<()> {
        let mut next = self.answer("", "")?;
        let mut line = String::new();
        while matches!(next, Next::Command) && self.control.read_line(&mut line)? > 0 {
            let command = line.trim_end_matches(['\r', '\n']).to_owned();
            line.clear();
            lock(&self.state.commands).push(command.clone());
            let (verb, argument) = command.split_once(' ').unwrap_or((&command, ""));
            next = self.answer(verb, argument)?;
        }
        Ok(())
    }

    fn say(&mut self, text: &str) -> io::Result<Next> {
        if self.is_mute {
            return Ok(Next::Leave);
        }
        self.control.get_mut().write_all(format!("{text}\r\n").as_bytes())?;
        Ok(Next::Command)
    }

    /// Until the client goes.
    fn silence(&mut self) -> io::Result<Next> {
        io::copy(&mut self.control, &mut io::sink())?;
        Ok(Next::Leave)
    }

    fn answer(&mut self, verb: &str, argument: &str) -> io::Result<Next> {
        match self.state.fault(verb) {
            None => self.obey(verb, argument, None),
            Some(Act::Say(text)) => self.say(&text),
            Some(Act::Leave(text)) => self.say(&text).map(|_| Next::Leave),
            Some(Act::Silence) => self.silence(),
            Some(Act::Late(delay)) => {
                std::thread::sleep(delay);
                self.obey(verb, argument, None)
            }
            Some(Act::Lose) => {
                self.is_mute = true;
                self.obey(verb, argument, None)
            }
            act @ Some(_) => self.obey(verb, argument, act),
        }
    }

    fn obey(&mut self, verb: &str, argument: &str, act: Option<Act>) -> io::Result<Next> {
        let state = self.state;
        let is_directory = lock(&state.directories).contains(argument);
        let size = lock(&state.files).get(argument).map(Vec::len);
        match verb {
            "" => self.say("220 scripted"),
            "USER" => self.say("331 password"),
            "PASS" => self.say("230 in"),
            "FEAT" => self.say("211-Features:\r\n MLST type*;size*;modify*;\r\n UTF8\r\n211 End"),
            "TYPE" | "OPTS" | "NOOP" | "CWD" => self.say("200 done"),
            "QUIT" => Ok(Next::Leave),
            "EPSV" | "PASV" => self.enter_passive_mode(verb),
            "REST" => {
                self.restart = argument.parse().unwrap();
                self.say("350 restart")
            }
            "SIZE" => match size {
                Some(size) => self.say(&format!("213 {size}")),
                None => self.say("550 no such file"),
            },
            "MLST" => match size {
                Some(size) => {
                    self.say(&format!("250-\r\n type=file;size={size};modify=20260102030405; x\r\n250 end"))
                }
                None if is_directory => self.say("250-\r\n type=dir; x\r\n250 end"),
                None => self.say("550 no such file"),
            },
            "MKD" => {
                lock(&state.directories).insert(argument.to_owned());
                self.say("257 made")
            }
            "RMD" => {
                let was_there = lock(&state.directories).remove(argument);
                self.say(if was_there { "250 removed" } else { "550 no such file" })
            }
            "DELE" => {
                let was_there = lock(&state.files).remove(argument).is_some();
                self.say(if was_there { "250 removed" } else { "550 no such file" })
            }
            "RNFR" => {
                argument.clone_into(&mut self.renamed);
                self.say("350 to what")
            }
            "RNTO" | "STOR" if size.is_some() && state.keeps_files.load(Ordering::Relaxed) => {
                self.say("550 there is one")
            }
            "RNTO" => {
                let file = lock(&state.files).remove(&self.renamed);
                let Some(file) = file else { return self.say("550 no such file") };
                lock(&state.files).insert(argument.to_owned(), file);
                self.say("250 renamed")
            }
            "MLSD" if !is_directory => self.say("550 no such file"),
            "STOR"
                if !argument
                    .rsplit_once('/')
                    .is_some_and(|(parent, _)| lock(&state.directories).contains(parent)) =>
            {
                self.say("550 no such directory")
            }
            "RETR" if size.is_none() => self.say("550 no such file"),
            "MLSD" | "RETR" | "STOR" => self.transfer(verb, argument, act),
            _ => self.say("502 not known"),
        }
    }

    /// The host that PASV names is never this one.
    fn enter_passive_mode(&mut self, verb: &str) -> io::Result<Next> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        self.passive = Some(listener);
        let [high, low] = port.to_be_bytes();
        match verb {
            "EPSV" => self.say(&format!("229 here (|||{port}|)")),
            _ => self.say(&format!("227 there (127,0,0,2,{high},{low})")),
        }
    }

    fn transfer(&mut self, verb: &str, argument: &str, act: Option<Act>) -> io::Result<Next> {
        self.say("150 go")?;
        let passive = self.passive.take().ok_or(io::ErrorKind::NotConnected)?;
        let (data, _) = passive.accept()?;
        if let Some(Act::Stall(length)) = act {
            let file = lock(&self.state.files).get(argument).cloned().unwrap_or_default();
            (&data).write_all(&file[..length])?;
            return self.silence();
        }
        let limit = if let Some(Act::Break(limit, _)) = act { limit } else { usize::MAX };
        let offset = std::mem::take(&mut self.restart);
        // What becomes of the data connection the client tells.
        let _ = match (verb, &act) {
            (_, Some(Act::Send(bytes, times))) => send_often(data, bytes, *times),
            ("STOR", _) => self.take(data, argument, offset, limit),
            ("RETR", _) => {
                let file = lock(&self.state.files)[argument].clone();
                send(data, &file[offset..], limit)
            }
            _ => send(data, &self.state.listing(argument), limit),
        };
        match act {
            Some(Act::Break(_, "")) => Ok(Next::Leave),
            Some(Act::Break(_, text) | Act::End(text)) => self.say(text),
            Some(Act::Withhold) => self.silence(),
            _ => self.say("226 done"),
        }
    }

    fn take(&self, data: TcpStream, path: &str, offset: usize, limit: usize) -> io::Result<()> {
        let mut bytes = Vec::new();
        let taken = data.take(limit as u64).read_to_end(&mut bytes);
        let mut files = lock(&self.state.files);
        let file = files.entry(path.to_owned()).or_default();
        file.truncate(offset);
        file.extend(bytes);
        taken.map(drop)
    }
}

fn send(mut data: TcpStream, bytes: &[u8], limit: usize) -> io::Result<()> {
    data.write_all(&bytes[..limit.min(bytes.len())])
}

fn send_often(mut data: TcpStream, bytes: &[u8], times: usize) -> io::Result<()> {
    (0..times).try_for_each(|_| data.write_all(bytes))
}
