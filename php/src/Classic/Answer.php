<?php

declare(strict_types=1);

namespace Rr\Classic;

use Rr\Http\ResponseEncoder;

/** Status and headers of the answer that the script is making: what header() and its family work on. */
final class Answer
{
    private static ?self $current = null;

    /** Called before the head is sent. */
    public ?\Closure $beforeHead = null;

    private int $status = 200;
    private bool $sent = false;
    /** @var array<string, list<array{string, string}>> name and value of each line, by lower-case name */
    private array $headers = [];

    /** A new answer, which the functions work on from now on. */
    public static function begin(): self
    {
        return self::$current = new self();
    }

    public static function current(): self
    {
        return self::$current ??= new self();
    }

    public function header(string $line, bool $replace, int $code): void
    {
        if ($this->tooLate()) {
            return;
        }
        $line = \rtrim($line);
        if (\strpbrk($line, "\r\n\0") !== false) {
            \trigger_error('Header may not contain more than a single header, new line detected', \E_USER_WARNING);
            return;
        }
        if (\preg_match('~^HTTP/\d(?:\.\d)? +(\d{3})~i', $line, $match) === 1) {
            $this->status = (int) $match[1];
            return;
        }
        [$name, $value] = \explode(':', $line, 2) + [1 => ''];
        $key = \strtolower(\rtrim($name));
        if ($replace) {
            $this->headers[$key] = [];
        }
        $this->headers[$key][] = [\rtrim($name), \ltrim($value)];
        if ($key === 'location' && $code === 0 && $this->status !== 201 && \intdiv($this->status, 100) !== 3) {
            $this->status = 302;
        }
        $this->code($code);
    }

    public function remove(?string $name): void
    {
        if (!$this->tooLate()) {
            if ($name === null) {
                $this->headers = [];
            } else {
                unset($this->headers[\strtolower($name)]);
            }
        }
    }

    public function has(string $name): bool
    {
        return isset($this->headers[\strtolower($name)]);
    }

    /** @return list<string> */
    public function lines(): array
    {
        $lines = [];
        foreach ($this->headers as $values) {
            foreach ($values as [$name, $value]) {
                $lines[] = "$name: $value";
            }
        }
        return $lines;
    }

    /** Sets the status unless it is 0; returns the one before, as http_response_code() does. */
    public function code(int $code): int|bool
    {
        $before = $this->status;
        if ($code >= 100 && $code < 600) {
            $this->status = $code;
        }
        return $before;
    }

    /** @param array<string, mixed> $options as of setcookie() */
    public function cookie(string $name, string $value, array $options): bool
    {
        if ($name === '' || \strpbrk($name, "=,; \t\r\n\v\f") !== false || \strpbrk($value, ",; \t\r\n\v\f") !== false) {
            throw new \ValueError('setcookie(): the name or the value contains a forbidden character');
        }
        $options = \array_change_key_case($options);
        $expires = (int) ($options['expires'] ?? 0);
        if ($value === '') {
            [$value, $expires] = ['deleted', 1];
        }
        $line = "$name=$value";
        if ($expires > 0) {
            $line .= '; expires=' . \gmdate('D, d M Y H:i:s', $expires) . ' GMT; Max-Age=' . \max(0, $expires - \time());
        }
        foreach (['path' => 'path', 'domain' => 'domain', 'samesite' => 'SameSite'] as $option => $shown) {
            if (($options[$option] ?? '') !== '') {
                $line .= "; $shown=" . $options[$option];
            }
        }
        $line .= ($options['secure'] ?? false) ? '; secure' : '';
        $line .= ($options['httponly'] ?? false) ? '; HttpOnly' : '';
        $this->header("Set-Cookie: $line", false, 0);
        return !$this->sent;
    }

    public function headSent(): bool
    {
        return $this->sent;
    }

    /** The encoded head, once; empty from then on. */
    public function head(): string
    {
        if ($this->sent) {
            return '';
        }
        $callback = $this->beforeHead;
        $this->beforeHead = null;
        $callback === null or $callback();
        Session::addHeaders($this);
        if (!$this->has('Content-Type') && $this->status !== 204 && $this->status !== 304) {
            $this->headers['content-type'] = [['Content-Type', 'text/html; charset=UTF-8']];
        }
        $this->sent = true;
        $headers = [];
        foreach ($this->headers as $values) {
            foreach ($values as [$name, $value]) {
                $headers[$values[0][0]][] = $value;
            }
        }
        return ResponseEncoder::encode($this->status, $headers);
    }

    private function tooLate(): bool
    {
        $this->sent and \trigger_error('Cannot modify header information - headers already sent', \E_USER_WARNING);
        return $this->sent;
    }
}
