"""What a run's numbers depend on: JAX's own list of options, the device, the threads."""

import re
import subprocess
import sys

import jax
import pytest

from digits_jax.runs import identity

# The options of jax 0.10.2 that change no number: caches, checks, messages, transfers, places.
HARMLESS = re.findall(
    r"\w+",
    """
    jax2tf_associative_scan_reductions jax2tf_default_native_serialization
    jax_array_garbage_collection_guard jax_backend_target jax_captured_constants_report_frames
    jax_captured_constants_warn_bytes jax_check_proxy_envs jax_check_static_indices
    jax_check_tracer_leaks jax_compilation_cache_check_contents jax_compilation_cache_dir
    jax_compilation_cache_expect_pgle jax_compilation_cache_include_metadata_in_key
    jax_compilation_cache_max_size jax_compiler_detailed_logging_min_ops
    jax_compiler_enable_remat_pass jax_cpu_collectives_implementation
    jax_cpu_enable_async_dispatch jax_cpu_get_global_topology_timeout_minutes
    jax_cpu_get_local_topology_timeout_minutes jax_cross_host_transfer_socket_address
    jax_cross_host_transfer_timeout_seconds jax_cross_host_transfer_transfer_size
    jax_cross_host_transport_addresses jax_cuda_visible_devices jax_debug_infs
    jax_debug_key_reuse jax_debug_leaked_clients_on_clear_backends jax_debug_log_modules
    jax_debug_nans jax_default_device jax_disable_bwd_checks jax_disable_vmap_shmap_error
    jax_disallow_mesh_context_manager jax_distributed_debug jax_dump_ir_modes jax_dump_ir_to
    jax_enable_checks jax_enable_compilation_cache jax_enable_custom_prng
    jax_enable_preemption_service jax_enable_recoverability jax_error_checking_behavior_divide
    jax_error_checking_behavior_nan jax_error_checking_behavior_oob
    jax_experimental_unsafe_xla_runtime_errors jax_explain_cache_misses
    jax_export_calling_convention_version jax_export_ignore_forward_compatibility
    jax_force_dcn_cross_host_transfers jax_hlo_source_file_canonicalization_regex
    jax_include_debug_info_in_dumps jax_include_full_tracebacks_in_locations jax_legacy_prng_key
    jax_log_checkpoint_residuals jax_log_compiles jax_logging_level jax_memory_fitting_effort
    jax_memory_fitting_level jax_mock_gpu_topology jax_mosaic_allow_hlo jax_mutable_array_checks
    jax_no_execution jax_no_tracing jax_num_cpu_devices jax_numpy_rank_promotion
    jax_oneapi_visible_devices jax_pallas_enable_debug_checks jax_pallas_poison_buffers
    jax_pallas_verbose_errors jax_persistent_cache_enable_xla_caches
    jax_persistent_cache_min_compile_time_secs jax_persistent_cache_min_entry_size_bytes
    jax_pgle_aggregation_percentile jax_pjrt_client_create_options jax_platform_name
    jax_platforms jax_pprint_use_color jax_ragged_dot_use_ragged_dot_instruction
    jax_raise_persistent_cache_errors jax_refs_to_pins
    jax_remove_custom_partitioning_ptr_from_cache_key jax_rocm_visible_devices
    jax_send_traceback_to_runtime jax_serialization_version jax_share_binary_between_hosts
    jax_share_binary_between_hosts_timeout_ms jax_sort_devices_by_process_index
    jax_source_url_schema jax_thread_guard jax_traceback_filtering
    jax_traceback_in_locations_limit jax_tracer_error_num_traceback_frames jax_transfer_guard
    jax_transfer_guard_device_to_device jax_transfer_guard_device_to_host
    jax_transfer_guard_host_to_device jax_use_magma jax_xla_backend mock_num_gpu_processes
    """,
)


def test_every_option_of_jax_is_known_to_change_numbers_or_not():
    """Where this fails, a new JAX has new options: each belongs to one of the two lists."""
    assert set(jax.config.values) == {*identity.NUMERIC_OPTIONS, *HARMLESS}
    assert not any(identity.UNCONCERNED.fullmatch(name) for name in identity.NUMERIC_OPTIONS)


def test_usual_options_are_told_as_default_and_others_by_name():
    told = {
        setting: subprocess.run(
            [
                sys.executable,
                "-c",
                "from digits_jax.runs import identity as i; print(i.numerics())",
            ],
            env={"PATH": "", "JAX_PLATFORMS": "cpu", **dict([setting.split("=", 1)])},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for setting in (
            "JAX_DEBUG_NANS=0",
            "JAX_DISABLE_MOST_OPTIMIZATIONS=1",
            "JAX_NUMPY_DTYPE_PROMOTION=strict",
            "XLA_FLAGS=--xla_force_host_platform_device_count=2 --xla_cpu_enable_fast_math=true",
        )
    }
    assert list(told.values()) == [
        "default",
        "jax_disable_most_optimizations=True",
        "jax_numpy_dtype_promotion=strict",
        "--xla_cpu_enable_fast_math=true",
    ]


def test_the_threads_of_a_cpu_are_those_of_the_environment_or_its_cores(monkeypatch):
    monkeypatch.delenv("PJRT_NPROC", raising=False)
    assert identity.cpu_threads() == identity.usable_cores()
    monkeypatch.setenv("PJRT_NPROC", "7")
    assert identity.cpu_threads() == identity.computed_by()["threads"] == 7


def test_a_run_goes_on_on_another_kind_of_device_where_that_is_asked_for(tmp_path):
    here = identity.computed_by()
    identity.record(tmp_path, here | {"device": "NVIDIA H100 80GB HBM3", "threads": 96})
    with pytest.raises(ValueError, match=r"began on NVIDIA H100.* this is cpu.* --other_device"):
        identity.check(tmp_path, here)
    device, threads = identity.check(tmp_path, here, other_device=True)
    assert "began with device NVIDIA H100" in device
    assert "began with threads 96, and goes on with" in threads
