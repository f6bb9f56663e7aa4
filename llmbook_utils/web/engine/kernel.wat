;; The `linear`, `gelu` and `attend` of kernel-plain.js with SIMD instructions: four numbers at once. `wat2wasm` gives the bytes in
;; kernel-wasm.js; a test holds the two together.
(module
  (import "page" "memory" (memory 1))

  (func $sum (param $v v128) (result f32)
    (f32.add
      (f32.add (f32x4.extract_lane 0 (local.get $v)) (f32x4.extract_lane 1 (local.get $v)))
      (f32.add (f32x4.extract_lane 2 (local.get $v)) (f32x4.extract_lane 3 (local.get $v)))))

  ;; four numbers of out, from the sums of four rows
  (func $store (param $out i32) (param $bias i32) (param $s0 v128) (param $s1 v128) (param $s2 v128) (param $s3 v128)
    (f32.store (local.get $out) (f32.add (f32.load (local.get $bias)) (call $sum (local.get $s0))))
    (f32.store offset=4 (local.get $out) (f32.add (f32.load offset=4 (local.get $bias)) (call $sum (local.get $s1))))
    (f32.store offset=8 (local.get $out) (f32.add (f32.load offset=8 (local.get $bias)) (call $sum (local.get $s2))))
    (f32.store offset=12 (local.get $out) (f32.add (f32.load offset=12 (local.get $bias)) (call $sum (local.get $s3)))))

  ;; the four sums of one row with the vector at x; $row is the bytes of a row of weights, and of a vector of x. With one
  ;; vector the memory is the limit: it is read in order, which is twice as fast as four rows side by side
  (func $one_row (param $x i32) (param $weight i32) (param $row i32) (result v128)
    (local $end i32) (local $s0 v128) (local $s1 v128) (local $s2 v128) (local $s3 v128)
    (local.set $end (i32.add (local.get $x) (local.get $row)))
    (block $rest
      (loop $sixteen_columns
        (br_if $rest (i32.gt_u (i32.add (local.get $x) (i32.const 64)) (local.get $end)))
        (local.set $s0 (f32x4.add (local.get $s0) (f32x4.mul (v128.load (local.get $x)) (v128.load (local.get $weight)))))
        (local.set $s1 (f32x4.add (local.get $s1) (f32x4.mul (v128.load offset=16 (local.get $x)) (v128.load offset=16 (local.get $weight)))))
        (local.set $s2 (f32x4.add (local.get $s2) (f32x4.mul (v128.load offset=32 (local.get $x)) (v128.load offset=32 (local.get $weight)))))
        (local.set $s3 (f32x4.add (local.get $s3) (f32x4.mul (v128.load offset=48 (local.get $x)) (v128.load offset=48 (local.get $weight)))))
        (local.set $x (i32.add (local.get $x) (i32.const 64)))
        (local.set $weight (i32.add (local.get $weight) (i32.const 64)))
        (br $sixteen_columns)))
    (block $done
      (loop $four_columns
        (br_if $done (i32.ge_u (local.get $x) (local.get $end)))
        (local.set $s0 (f32x4.add (local.get $s0) (f32x4.mul (v128.load (local.get $x)) (v128.load (local.get $weight)))))
        (local.set $x (i32.add (local.get $x) (i32.const 16)))
        (local.set $weight (i32.add (local.get $weight) (i32.const 16)))
        (br $four_columns)))
    (f32x4.add (f32x4.add (local.get $s0) (local.get $s1)) (f32x4.add (local.get $s2) (local.get $s3))))

  ;; four rows with the vector at x
  (func $one_vector (param $out i32) (param $x i32) (param $weight i32) (param $bias i32) (param $row i32)
    (call $store
      (local.get $out)
      (local.get $bias)
      (call $one_row (local.get $x) (local.get $weight) (local.get $row))
      (call $one_row (local.get $x) (local.tee $weight (i32.add (local.get $weight) (local.get $row))) (local.get $row))
      (call $one_row (local.get $x) (local.tee $weight (i32.add (local.get $weight) (local.get $row))) (local.get $row))
      (call $one_row (local.get $x) (local.tee $weight (i32.add (local.get $weight) (local.get $row))) (local.get $row))))

  ;; the same with two vectors; the second one's numbers go $next bytes after those of the first
  (func $two_vectors (param $out i32) (param $next i32) (param $x i32) (param $weight i32) (param $bias i32) (param $row i32)
    (local $end i32) (local $w i32) (local $m v128)
    (local $a v128) (local $a0 v128) (local $a1 v128) (local $a2 v128) (local $a3 v128)
    (local $b v128) (local $b0 v128) (local $b1 v128) (local $b2 v128) (local $b3 v128)
    (local.set $end (i32.add (local.get $x) (local.get $row)))
    (loop $columns
      (local.set $a (v128.load (local.get $x)))
      (local.set $b (v128.load (i32.add (local.get $x) (local.get $row))))
      (local.set $m (v128.load (local.tee $w (local.get $weight))))
      (local.set $a0 (f32x4.add (local.get $a0) (f32x4.mul (local.get $a) (local.get $m))))
      (local.set $b0 (f32x4.add (local.get $b0) (f32x4.mul (local.get $b) (local.get $m))))
      (local.set $m (v128.load (local.tee $w (i32.add (local.get $w) (local.get $row)))))
      (local.set $a1 (f32x4.add (local.get $a1) (f32x4.mul (local.get $a) (local.get $m))))
      (local.set $b1 (f32x4.add (local.get $b1) (f32x4.mul (local.get $b) (local.get $m))))
      (local.set $m (v128.load (local.tee $w (i32.add (local.get $w) (local.get $row)))))
      (local.set $a2 (f32x4.add (local.get $a2) (f32x4.mul (local.get $a) (local.get $m))))
      (local.set $b2 (f32x4.add (local.get $b2) (f32x4.mul (local.get $b) (local.get $m))))
      (local.set $m (v128.load (local.tee $w (i32.add (local.get $w) (local.get $row)))))
      (local.set $a3 (f32x4.add (local.get $a3) (f32x4.mul (local.get $a) (local.get $m))))
      (local.set $b3 (f32x4.add (local.get $b3) (f32x4.mul (local.get $b) (local.get $m))))
      (local.set $weight (i32.add (local.get $weight) (i32.const 16)))
      (br_if $columns (i32.lt_u (local.tee $x (i32.add (local.get $x) (i32.const 16))) (local.get $end))))
    (call $store (local.get $out) (local.get $bias) (local.get $a0) (local.get $a1) (local.get $a2) (local.get $a3))
    (call $store (i32.add (local.get $out) (local.get $next)) (local.get $bias) (local.get $b0) (local.get $b1) (local.get $b2) (local.get $b3)))

  ;; out[t][r] = bias[r] + sum over c of weight[r][c] * x[t][c], with four rows of weights and two vectors at a time, so
  ;; that each number read serves several products; rows and columns are multiples of 4
  (func (export "linear")
    (param $out i32) (param $x i32) (param $n i32) (param $weight i32) (param $bias i32) (param $rows i32) (param $cols i32)
    (local $row i32) (local $next i32) (local $t i32) (local $o i32) (local $v i32)
    (local.set $row (i32.shl (local.get $cols) (i32.const 2)))
    (local.set $next (i32.shl (local.get $rows) (i32.const 2)))
    (loop $rows_of_weights
      (local.set $o (local.get $out))
      (local.set $v (local.get $x))
      (local.set $t (local.get $n))
      (block $last
        (loop $pairs
          (br_if $last (i32.lt_u (local.get $t) (i32.const 2)))
          (call $two_vectors (local.get $o) (local.get $next) (local.get $v) (local.get $weight) (local.get $bias) (local.get $row))
          (local.set $o (i32.add (local.get $o) (i32.shl (local.get $next) (i32.const 1))))
          (local.set $v (i32.add (local.get $v) (i32.shl (local.get $row) (i32.const 1))))
          (local.set $t (i32.sub (local.get $t) (i32.const 2)))
          (br $pairs)))
      (if (local.get $t)
        (then (call $one_vector (local.get $o) (local.get $v) (local.get $weight) (local.get $bias) (local.get $row))))
      (local.set $weight (i32.add (local.get $weight) (i32.shl (local.get $row) (i32.const 2))))
      (local.set $bias (i32.add (local.get $bias) (i32.const 16)))
      (local.set $out (i32.add (local.get $out) (i32.const 16)))
      (br_if $rows_of_weights (local.tee $rows (i32.sub (local.get $rows) (i32.const 4))))))

  ;; 2 to the power of z: 2^n for the whole number n that is nearest, in the bits of the exponent, times 2^f for the rest
  ;; f from -1/2 to 1/2, by the first seven terms of its series
  (func $power_of_2 (param $z v128) (result v128)
    (local $n v128) (local $f v128)
    (local.set $z (f32x4.max (local.get $z) (v128.const f32x4 -126 -126 -126 -126)))
    (local.set $z (f32x4.min (local.get $z) (v128.const f32x4 126 126 126 126)))
    (local.set $n (f32x4.nearest (local.get $z)))
    (local.set $f (f32x4.sub (local.get $z) (local.get $n)))
    (f32x4.mul
        (f32x4.add (v128.const f32x4 1 1 1 1) (f32x4.mul (local.get $f)
        (f32x4.add (v128.const f32x4 0.69314718 0.69314718 0.69314718 0.69314718) (f32x4.mul (local.get $f)
        (f32x4.add (v128.const f32x4 0.24022651 0.24022651 0.24022651 0.24022651) (f32x4.mul (local.get $f)
        (f32x4.add (v128.const f32x4 0.055504109 0.055504109 0.055504109 0.055504109) (f32x4.mul (local.get $f)
        (f32x4.add (v128.const f32x4 0.0096181291 0.0096181291 0.0096181291 0.0096181291) (f32x4.mul (local.get $f)
        (f32x4.add (v128.const f32x4 0.0013333558 0.0013333558 0.0013333558 0.0013333558) (f32x4.mul (local.get $f)
        (v128.const f32x4 0.0001540353 0.0001540353 0.0001540353 0.0001540353)))))))))))))
      (i32x4.shl
        (i32x4.add (i32x4.trunc_sat_f32x4_s (local.get $n)) (v128.const i32x4 127 127 127 127))
        (i32.const 23))))

  ;; x / (1 + exp(-2u)) in place for n numbers, a multiple of 4: exp(-2u) is 2 to the power of x * (a + b * x^2)
  (func (export "gelu") (param $x i32) (param $n i32)
    (local $end i32) (local $v v128)
    (local.set $end (i32.add (local.get $x) (i32.shl (local.get $n) (i32.const 2))))
    (loop $numbers
      (local.set $v (v128.load (local.get $x)))
      (v128.store (local.get $x)
        (f32x4.div
          (local.get $v)
          (f32x4.add
            (v128.const f32x4 1 1 1 1)
            (call $power_of_2
              (f32x4.mul
                (local.get $v)
                (f32x4.add
                  (v128.const f32x4 -2.3022082 -2.3022082 -2.3022082 -2.3022082)
                  (f32x4.mul
                    (v128.const f32x4 -0.10294324 -0.10294324 -0.10294324 -0.10294324)
                    (f32x4.mul (local.get $v) (local.get $v)))))))))
      (br_if $numbers (i32.lt_u (local.tee $x (i32.add (local.get $x) (i32.const 16))) (local.get $end)))))

  ;; from $scores to $end: the products of the query with the keys, one after the other, times $scale
  (func $score (param $scores i32) (param $end i32) (param $q i32) (param $keys i32) (param $row i32) (param $scale f32)
    (loop $all_keys
      (f32.store
        (local.get $scores)
        (f32.mul (local.get $scale) (call $sum (call $one_row (local.get $q) (local.get $keys) (local.get $row)))))
      (local.set $keys (i32.add (local.get $keys) (local.get $row)))
      (br_if $all_keys (i32.lt_u (local.tee $scores (i32.add (local.get $scores) (i32.const 4))) (local.get $end)))))

  (func $largest (param $at i32) (param $end i32) (result f32)
    (local $max v128)
    (local.set $max (v128.load (local.get $at)))
    (loop $numbers
      (local.set $max (f32x4.max (local.get $max) (v128.load (local.get $at))))
      (br_if $numbers (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end))))
    (f32.max
      (f32.max (f32x4.extract_lane 0 (local.get $max)) (f32x4.extract_lane 1 (local.get $max)))
      (f32.max (f32x4.extract_lane 2 (local.get $max)) (f32x4.extract_lane 3 (local.get $max)))))

  ;; scores, filled up to a multiple of four with such as weigh nothing, become exp(score - max); the result is their sum
  (func $exponentials (param $at i32) (param $end i32) (result f32)
    (local $max v128) (local $e v128) (local $sums v128)
    (block $full
      (loop $fill
        (br_if $full (i32.eqz (i32.and (local.get $end) (i32.const 15))))
        (f32.store (local.get $end) (f32.const -inf))
        (local.set $end (i32.add (local.get $end) (i32.const 4)))
        (br $fill)))
    (local.set $max (f32x4.splat (call $largest (local.get $at) (local.get $end))))
    (loop $numbers
      (local.set $e
        (call $power_of_2
          (f32x4.mul
            (f32x4.sub (v128.load (local.get $at)) (local.get $max))
            (v128.const f32x4 1.442695 1.442695 1.442695 1.442695))))
      (v128.store (local.get $at) (local.get $e))
      (local.set $sums (f32x4.add (local.get $sums) (local.get $e)))
      (br_if $numbers (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end))))
    (call $sum (local.get $sums)))

  ;; four numbers of each value, from $values on, times the value's weight, added up
  (func $gather (param $weights i32) (param $end i32) (param $values i32) (param $row i32) (result v128)
    (local $sums v128)
    (loop $all_values
      (local.set $sums
        (f32x4.add
          (local.get $sums)
          (f32x4.mul (v128.load32_splat (local.get $weights)) (v128.load (local.get $values)))))
      (local.set $values (i32.add (local.get $values) (local.get $row)))
      (br_if $all_values (i32.lt_u (local.tee $weights (i32.add (local.get $weights) (i32.const 4))) (local.get $end))))
    (local.get $sums))

  ;; $row is the bytes of the query, of a key and of a value; $scores has room for n numbers, up to a multiple of four
  (func (export "attend")
    (param $out i32) (param $q i32) (param $keys i32) (param $values i32) (param $scores i32) (param $n i32) (param $row i32)
    (param $scale f32)
    (local $end i32) (local $end_of_out i32) (local $total v128)
    (local.set $end (i32.add (local.get $scores) (i32.shl (local.get $n) (i32.const 2))))
    (local.set $end_of_out (i32.add (local.get $out) (local.get $row)))
    (call $score (local.get $scores) (local.get $end) (local.get $q) (local.get $keys) (local.get $row) (local.get $scale))
    (local.set $total (f32x4.splat (call $exponentials (local.get $scores) (local.get $end))))
    (loop $numbers
      (v128.store
        (local.get $out)
        (f32x4.div (call $gather (local.get $scores) (local.get $end) (local.get $values) (local.get $row)) (local.get $total)))
      (local.set $values (i32.add (local.get $values) (i32.const 16)))
      (br_if $numbers (i32.lt_u (local.tee $out (i32.add (local.get $out) (i32.const 16))) (local.get $end_of_out))))))
