<?php

declare(strict_types=1);

namespace Rr\Rpc;

use Rr\Exception\RelayException;
use Rr\Exception\RpcException;
use Rr\Frame;
use Rr\Relay;

/**
 * Calls methods of the server.
 *
 * ```php
 * $rpc = Client::fromEnvironment();
 * $rpc->call('informer.Workers', 'http');                   // JSON
 * $rpc->send('kv.Has', $message, Codec::Proto);             // an encoded protobuf message, and one back
 * ```
 *
 * The connection is made by the first call and kept. If it breaks, that call fails, since nobody knows whether it was
 * carried out, and the next call connects anew.
 */
final class Client
{
    private ?Relay $relay = null;
    private int $sequence = 0;

    /**
     * @param string $address `tcp://host:port` or `unix://path`
     * @param int    $timeout seconds to wait for an answer
     */
    public function __construct(
        private readonly string $address,
        private readonly int $timeout = 60,
    ) {
    }

    /** For the server that started this worker. It gives its address to workers if `rpc.listen` is configured. */
    public static function fromEnvironment(): self
    {
        $address = (string) \getenv('RR_RPC');
        return new self($address === '' ? 'tcp://127.0.0.1:6001' : $address);
    }

    /**
     * A call with JSON.
     *
     * @param int $patience seconds to wait besides the timeout, for a call that asks the server to wait
     * @throws RpcException   what the server says
     * @throws RelayException the connection
     * @throws \JsonException
     */
    public function call(string $method, mixed $argument = null, int $patience = 0): mixed
    {
        $flags = \JSON_THROW_ON_ERROR | \JSON_PRESERVE_ZERO_FRACTION;
        $result = $this->send($method, \json_encode($argument, $flags), Codec::Json, $patience);
        return $result === '' ? null : \json_decode($result, true, 512, \JSON_THROW_ON_ERROR);
    }

    /**
     * A call with an argument that is encoded already. Returns the encoded result.
     *
     * @param int $patience seconds to wait besides the timeout
     * @throws RpcException   what the server says
     * @throws RelayException the connection
     */
    public function send(string $method, string $argument, Codec $codec = Codec::Raw, int $patience = 0): string
    {
        $id = $this->sequence = ($this->sequence & 0x7fffffff) + 1;
        try {
            $this->relay ??= Relay::connect($this->address, $this->timeout);
            if ($patience > 0) {
                $this->relay->setTimeout($this->timeout + $patience);
            }
            $this->relay->write(Frame::call($id, $method, $argument, $codec->value));
            do {
                $frame = $this->relay->read() ?? throw new RelayException("no answer from $this->address to $method");
                if (\count($frame->options) !== 2) {
                    throw new RelayException("no answer to a call, but a frame with other options, to $method");
                }
            } while ($frame->options[0] !== $id); // Of a call that was given up.
            if ($patience > 0) {
                $this->relay->setTimeout($this->timeout);
            }
        } catch (RelayException $broken) {
            $this->relay = null;
            throw $broken;
        }
        $result = \substr($frame->payload(), $frame->options[1]);
        return $frame->flags & Frame::ERROR ? throw new RpcException($result) : $result;
    }
}
