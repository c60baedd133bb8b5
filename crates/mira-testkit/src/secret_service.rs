//! A real gnome-keyring over a real D-Bus session.
