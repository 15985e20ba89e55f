//! Who may come in at a control socket.

use crate::config::section::Control;
use nix::{
    sys::socket::{getsockopt, sockopt::PeerCredentials},
    unistd::{Gid, Group, Uid, User, chown, getgrouplist},
};
use std::{
    ffi::CString,
    fs, io,
    os::{fd::BorrowedFd, unix::fs::PermissionsExt},
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

/// Who may use the control sockets. The kernel tells who a peer is; nothing that it says itself counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Whoever reaches the socket may come in.
    everybody: bool,
    users: Vec<Uid>,
    groups: Vec<Gid>,
}

/// Who may use sockets that are open, which may change while they are. Clones share it.
#[derive(Clone, Debug)]
pub struct Guests(Arc<RwLock<Access>>);

impl Default for Access {
    /// Our own user and root.
    fn default() -> Self {
        Self {
            everybody: false,
            users: vec![Uid::effective(), Uid::from_raw(0)],
            groups: Vec::new(),
        }
    }
}

impl Access {
    /// Our own user, root, and those that the configuration allows.
    ///
    /// # Errors
    /// A user or group that does not exist.
    pub fn new(control: &Control) -> io::Result<Self> {
        let mut access = Self::of("supervisor.control.allow_users", &control.allow_users)?;
        if !control.group.is_empty() {
            let found = Group::from_name(&control.group)?
                .ok_or_else(|| unknown("supervisor.control.group: no such group", &control.group))?;
            access.groups.push(found.gid);
        }
        Ok(access)
    }

    /// Our own user, root, and those that the configuration lists under that key, by name or number.
    ///
    /// # Errors
    /// A user that does not exist.
    pub fn of(key: &str, users: &[String]) -> io::Result<Self> {
        let mut access = Self::default();
        for name in users {
            let uid = match name.parse() {
                Ok(number) => Uid::from_raw(number),
                Err(_) => {
                    User::from_name(name)?
                        .ok_or_else(|| unknown(&format!("{key}: no such user"), name))?
                        .uid
                }
            };
            access.allow(uid);
        }
        Ok(access)
    }

    /// Whoever reaches the socket.
    pub fn everybody() -> Self {
        Self {
            everybody: true,
            ..Self::default()
        }
    }

    /// These and those.
    #[must_use]
    pub fn and(mut self, others: &Self) -> Self {
        self.everybody |= others.everybody;
        others.users.iter().for_each(|user| self.allow(*user));
        for group in &others.groups {
            if !self.groups.contains(group) {
                self.groups.push(*group);
            }
        }
        self
    }

    /// Lets one more user in.
    pub fn allow(&mut self, user: Uid) {
        if !self.users.contains(&user) {
            self.users.push(user);
        }
    }

    /// True when only our own user and root may come in, so that files may be closed to everybody else.
    pub fn is_private(&self) -> bool {
        !self.everybody
            && self.groups.is_empty()
            && self
                .users
                .iter()
                .all(|user| user.is_root() || *user == Uid::effective())
    }

    /// Gives a file or directory of the control directory the mode that lets in whom we allow. Where single users or several groups
    /// are allowed no mode can say so: then the way is open, and each connection's credentials decide.
    ///
    /// # Errors
    /// The change is refused.
    pub fn protect(&self, path: &Path, search: bool) -> io::Result<()> {
        let single = self
            .users
            .iter()
            .any(|user| !user.is_root() && *user != Uid::effective());
        let open = self.everybody || single || self.groups.len() > 1;
        let group = self.groups.first().copied();
        let mode = match (search, open, group) {
            (true, true, _) => 0o711,
            (true, false, Some(_)) => 0o710,
            (true, false, None) => 0o700,
            (false, true, _) => 0o666,
            (false, false, Some(_)) => 0o660,
            (false, false, None) => 0o600,
        };
        if group.is_some() {
            chown(path, None, group)?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }

    fn knows(&self, socket: BorrowedFd<'_>, target: &str) -> bool {
        match getsockopt(&socket, PeerCredentials) {
            Ok(peer) if self.admits(peer.uid(), peer.gid()) => true,
            Ok(peer) => {
                tracing::warn!(target: "control", uid = peer.uid(), pid = peer.pid(), "a process of another user was turned away from the {target} socket");
                false
            }
            Err(_) => false,
        }
    }

    /// May a process of this user and group come in?
    fn admits(&self, uid: u32, gid: u32) -> bool {
        if self.everybody || self.users.contains(&Uid::from_raw(uid)) {
            return true;
        }
        let in_group = |group: &Gid| Gid::from_raw(gid) == *group || is_member(Uid::from_raw(uid), *group);
        self.groups.iter().any(in_group)
    }
}

impl From<Access> for Guests {
    fn from(access: Access) -> Self {
        Self(Arc::new(RwLock::new(access)))
    }
}

impl Guests {
    /// From now on it is these who may come in; connections that there are stay.
    pub fn become_these(&self, access: Access) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = access;
    }

    /// Those who may come in now.
    pub(super) fn now(&self) -> Access {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// May the process at the other end come in? If not, there is a warning.
    pub(crate) fn know(&self, socket: BorrowedFd<'_>, target: &str) -> bool {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .knows(socket, target)
    }
}

fn unknown(what: &str, name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{what}: {name}"))
}

fn is_member(user: Uid, group: Gid) -> bool {
    let Ok(Some(user)) = User::from_uid(user) else {
        return false;
    };
    CString::new(user.name)
        .ok()
        .and_then(|name| getgrouplist(&name, user.gid).ok())
        .is_some_and(|groups| groups.contains(&group))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn strangers_are_not_admitted() {
        let own = Access::default();
        assert!(own.admits(Uid::effective().as_raw(), 12345));
        assert!(own.admits(0, 12345));
        assert!(!own.admits(54321, 12345));
        assert!(own.is_private());

        let mut more = own.clone();
        more.allow(Uid::from_raw(54321));
        assert!(more.admits(54321, 12345));
        assert!(!more.is_private());
    }

    #[test]
    fn the_mode_follows_who_is_admitted() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |access: &Access, search| {
            access.protect(dir.path(), search).unwrap();
            fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777
        };
        let mut access = Access::default();
        assert_eq!((mode(&access, true), mode(&access, false)), (0o700, 0o600));
        access.allow(Uid::from_raw(54321));
        assert_eq!((mode(&access, true), mode(&access, false)), (0o711, 0o666));
        let group = |gid| Access {
            groups: vec![Gid::from_raw(gid)],
            ..Access::default()
        };
        let own = group(Gid::effective().as_raw());
        assert_eq!((mode(&own, true), mode(&own, false)), (0o710, 0o660));
        let both = own.and(&group(54321));
        assert_eq!((mode(&both, true), mode(&both, false)), (0o711, 0o666));
        assert!(both.admits(12345, 54321) && !both.admits(12345, 54322));
    }

    /// Old and new are let in while one takes the other's place.
    #[test]
    fn guests_change_while_the_door_is_open() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let nobody = Access {
            users: Vec::new(),
            ..Access::default()
        };
        let guests = Guests::from(nobody.clone());
        let copy = guests.clone();
        assert!(!copy.know(one.as_fd(), "test"));
        guests.become_these(nobody.clone().and(&Access::everybody()));
        assert!(copy.know(one.as_fd(), "test"));
        guests.become_these(nobody);
        assert!(!copy.know(one.as_fd(), "test"));
    }
}
