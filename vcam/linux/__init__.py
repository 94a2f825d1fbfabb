"""Linux interfaces that vcam uses: Video4Linux, /proc, the loopback driver, systemd."""
