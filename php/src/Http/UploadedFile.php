<?php

declare(strict_types=1);

namespace Rr\Http;

/** A file that came with a multipart form. */
final class UploadedFile
{
    /**
     * @param string $name  as the client says; not to be trusted
     * @param string $type  media type as the client says; not to be trusted
     * @param int    $size  bytes
     * @param int    $error one of PHP's UPLOAD_ERR constants
     * @param string $path  where it is until the request has been answered; empty on error
     */
    public function __construct(
        public readonly string $name,
        public readonly string $type,
        public readonly int $size,
        public readonly int $error,
        public readonly string $path,
    ) {
    }

    public function contents(): string
    {
        return $this->error === \UPLOAD_ERR_OK ? (string) \file_get_contents($this->path) : '';
    }

    /** Moves the file to where it stays; false if that fails. */
    public function moveTo(string $target): bool
    {
        return $this->error === \UPLOAD_ERR_OK && \rename($this->path, $target);
    }
}
