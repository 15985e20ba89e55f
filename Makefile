# The few things that are done with a checkout; bin/ and .ci/ hold the scripts for development.
# PROFILE=dev packages what `cargo build` has made, without a release build.
PROFILE ?= release
PREFIX ?= /usr/local
DESTDIR ?=

PLUGINS = http kv lock
PROGRAMS = rr-supervisor $(PLUGINS:%=rr-%)
TARGET = $(or $(CARGO_TARGET_DIR),target)
BUILT = $(TARGET)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
NAME = roadrunner-rs-$(VERSION)-$(shell uname -m)-linux

.PHONY: build test dist install

build:
	cargo build --locked --profile $(PROFILE) $(PROGRAMS:%=--bin %)

test:
	bin/test

# One Debian package for each program, and a tarball of all: target/dist.
dist: build
	command -v cargo-deb >/dev/null || cargo install --locked cargo-deb
	mkdir -p $(TARGET)/dist
	for program in $(PROGRAMS); do \
	    cargo deb --locked --no-build --profile $(PROFILE) -p $$program -o $(TARGET)/dist/ || exit 1; done
	rm -rf $(TARGET)/dist/$(NAME)
	$(MAKE) install DESTDIR=$(abspath $(TARGET))/dist/$(NAME) PREFIX=
	tar -C $(TARGET)/dist --owner=0 --group=0 -czf $(TARGET)/dist/$(NAME).tar.gz $(NAME)
	rm -rf $(TARGET)/dist/$(NAME)
	ls -l $(TARGET)/dist

# What `make build` has made, below PREFIX: the supervisor finds its plugins in ../libexec/roadrunner.
install:
	install -D -s -t $(DESTDIR)$(PREFIX)/bin $(BUILT)/rr-supervisor
	ln -sf rr-supervisor $(DESTDIR)$(PREFIX)/bin/rr
	install -D -s -t $(DESTDIR)$(PREFIX)/libexec/roadrunner $(PLUGINS:%=$(BUILT)/rr-%)
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/rr-supervisor README.md docs/*.md
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system systemd/*.service systemd/*.socket
