<?php

declare(strict_types=1);

namespace Rr\Http;

use Rr\Exception\RelayException;
use Rr\Exception\StreamStopped;
use Rr\Worker;

/**
 * A worker that answers HTTP requests.
 *
 * ```php
 * HttpWorker::fromEnvironment()->serve(
 *     static fn (Request $request): Response => Response::text('Hello, ' . $request->path()),
 * );
 * ```
 *
 * {@see serve()} runs a handler for each request; {@see receive()} and {@see answer()} are for a loop of one's own.
 */
final class HttpWorker
{
    /** A request has been received and not answered. */
    private bool $pending = false;

    public function __construct(private readonly Worker $worker)
    {
    }

    /** @throws RelayException */
    public static function fromEnvironment(): self
    {
        return new self(Worker::fromEnvironment());
    }

    /**
     * Answers requests until the server says stop.
     *
     * What the handler throws goes to the log, the client gets the server's error status, and the worker goes on. If
     * the handler ends the process, by exit() or a fatal error, its request fails and the worker is replaced.
     *
     * @param callable(Request): (Response|string) $handler
     */
    public function serve(callable $handler): void
    {
        \register_shutdown_function($this->ended(...));
        while (($request = $this->receive()) !== null) {
            try {
                $answer = $handler($request);
                $this->answer($answer instanceof Response ? $answer : new Response(200, $answer));
            } catch (RelayException $broken) {
                throw $broken;
            } catch (\Throwable $error) {
                // The server logs the text of an error frame.
                $this->pending ? $this->error((string) $error) : \error_log((string) $error);
            }
        }
    }

    /** The next request, waiting for it; null when this worker shall end. */
    public function receive(): ?Request
    {
        $frame = $this->worker->receive();
        if ($frame === null) {
            return null;
        }
        $this->pending = true;
        return RequestDecoder::decode($frame);
    }

    /** Answers the request. A body of several pieces is streamed. */
    public function answer(Response $response): void
    {
        $headers = $response->headers;
        if ($response->trailers !== []) {
            $headers += ['Trailer' => \implode(', ', \array_keys($response->trailers))] + $response->trailers;
        }
        $head = ResponseEncoder::encode($response->status, $headers);
        if (\is_string($response->body)) {
            $this->finish($head, $response->body);
        } elseif ($response->body instanceof \Generator) {
            $this->generate($head, $response->body);
        } else {
            $this->generate($head, (static fn () => yield from $response->body)());
        }
    }

    /**
     * Sends a 103 answer ahead of the real one, so that a browser can fetch meanwhile.
     *
     * @param array<string, string|list<string>> $headers they stay on the final answer
     */
    public function earlyHints(array $headers): void
    {
        $this->worker->answer(ResponseEncoder::encode(103, $headers), '', true);
    }

    /** Fails the request; the text is for the log, and for the client only while `pool.debug` is on. */
    public function error(string $text): void
    {
        $this->pending = false;
        $this->worker->error($text);
    }

    /** Sends one piece of a body; the encoded head is empty after the first. */
    public function part(string $head, string $body): void
    {
        $this->worker->answer($head, $body, true);
    }

    /** Sends the last piece of a body, or the whole of it. */
    public function finish(string $head, string $body): void
    {
        $this->pending = false;
        $this->worker->answer($head, $body);
    }

    /** Between two pieces: whether nobody reads the stream any more. */
    public function streamStopped(): bool
    {
        return $this->worker->streamStopped();
    }

    /** After an answer: has this worker replaced without losing a request. The process is to end then. */
    public function retire(): void
    {
        $this->worker->retire();
    }

    /** Streams. The head goes out with the first piece. An exception of the generator breaks the stream off visibly. */
    private function generate(string $head, \Generator $body): void
    {
        try {
            for (; $body->valid(); $body->next()) {
                if ($this->worker->streamStopped()) {
                    $body->throw(new StreamStopped('the client has gone away'));
                    break;
                }
                $this->part($head, (string) $body->current());
                $head = '';
            }
        } catch (StreamStopped) {
            // The usual way out of a generator that cleans up by `finally`.
        }
        $this->finish($head, '');
    }

    /** At the end of the process: the request that it left without an answer gets one. */
    private function ended(): void
    {
        if (!$this->pending) {
            return;
        }
        \ini_set('memory_limit', '-1'); // It may be what ended us.
        $reason = \error_get_last()['message'] ?? 'exit() was called';
        try {
            $this->error("the worker ended within a request: $reason");
            $this->retire();
        } catch (RelayException) {
            // The server is gone: there is nobody left to tell.
        }
    }
}
